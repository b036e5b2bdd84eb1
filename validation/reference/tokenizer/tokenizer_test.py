"""The tokenizer against Hugging Face's `tokenizers`: the same training, files, ids and text.

usage: tokenizer_test.py TRIREME_DATA FOLDER    (FOLDER is for the test's files)
Documents: entries of the Debian package dict-gcide, hand-written edge cases, random Unicode.
"""

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import unicodedata

import h5py
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

EOS = "<|endoftext|>"
VOCABULARY = 2000
program, folder = sys.argv[1], sys.argv[2]


def path(name):
    return os.path.join(folder, name)


def run(*arguments):
    subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=200)


# ---- documents ------------------------------------------------------------------------------------------------------
def dictionary_documents():
    source = "/usr/share/dictd/gcide.dict.dz"
    with gzip.open(source) as file:
        text = file.read(24_000_000)[-3_000_000:].decode("ascii", errors="replace")
    return [entry for entry in text.split("\n\n") if entry]


def edge_cases():
    yield from ["a", " ", "\n", "  a", "a  ", "\t\ta\r\n b", "don't DON'T we'll 'tis 's", "x" * 3000, " " * 500]
    yield from ["the the  the   the\n\n\nthe", "3.14159 1,000,000 ²³ ½ Ⅷ", "naïve café Ångström", "日本語 テキスト 中文"]
    yield from ["👩‍👩‍👧‍👦 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "\u200b\ufeff\u00a0\u2003x\u3000y\u0085z\u180ew", "e\u0301 vs é", "\x00\x01\x7f", "ﬁ ﬂ ſ"]
    yield from [f"before{EOS}after", f"{EOS}", f"{EOS}{EOS} {EOS}", "<|endoftext|", "<|endoftext|>x|>", "\\n \\ \" / \b\f"]
    yield from ["ab" * 200, "=" * 129, "aaaa" * 70 + " " + "ba" * 90, "a\u0300\u0301\u0302" * 30, "\U0010ffff\ue000"]


def random_documents(count, seed):
    """Characters assigned long ago: PCRE2 and Oniguruma may know different Unicode versions."""
    rng = random.Random(seed)
    old = unicodedata.ucd_3_2_0
    points = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000 and old.category(chr(p)) != "Cn"]
    ascii_points = list(range(32, 127)) + [10, 9, 32, 32, 32, 39, 39]
    for _ in range(count):
        pool = ascii_points if rng.random() < 0.4 else points
        mixed = [rng.choice(pool if rng.random() < 0.7 else ascii_points) for _ in range(rng.randrange(1, 200))]
        yield "".join(map(chr, mixed))


# ---- the two programs -----------------------------------------------------------------------------------------------
def write_documents(name, documents):
    with open(path(name), "w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")


def our_ids(documents_file, tokenizer_file):
    run("tokenize", path(documents_file), "--tokenizer", path(tokenizer_file), "--no-eos", "--out", path("ids.h5"),
        "--threads", "2")
    with h5py.File(path("ids.h5")) as shard:
        ids, bounds = shard["tokens"][:].tolist(), shard["documents"][:].tolist()
    return [ids[begin:end] for begin, end in zip(bounds, bounds[1:])]


def their_tokenizer(documents):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[EOS], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def first_difference(documents, ours, theirs):
    assert len(ours) == len(theirs) == len(documents)
    for document, a, b in zip(documents, ours, theirs):
        if a != b:
            return f"{document[:200]!r}\nours   {a[:60]}\ntheirs {b[:60]}"
    return None


def main():
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    corpus = dictionary_documents()
    write_documents("corpus.jsonl", corpus)
    every = corpus[::7] + list(edge_cases()) + list(random_documents(3000, seed=1))
    write_documents("every.jsonl", every)

    # 1. Training gives the same file, on one thread and on three.
    theirs = their_tokenizer(corpus)
    theirs.save(path("theirs.json"))
    for threads in ["1", "3"]:
        run("tokenizer", path("corpus.jsonl"), "--vocab", str(VOCABULARY), "--out", path("ours.json"), "--threads", threads)
        with open(path("ours.json"), encoding="utf-8") as a, open(path("theirs.json"), encoding="utf-8") as b:
            ours_json, theirs_json = json.load(a), json.load(b)
        assert ours_json["model"]["merges"] == theirs_json["model"]["merges"], "other merges"
        assert ours_json["model"]["vocab"] == theirs_json["model"]["vocab"], "other vocabulary"
        assert ours_json == theirs_json, "other settings"

    # 2. Both load the other's file and give the same ids.
    loaded = Tokenizer.from_file(path("ours.json"))
    their_ids = [encoding.ids for encoding in loaded.encode_batch(every, add_special_tokens=False)]
    difference = first_difference(every, our_ids("every.jsonl", "theirs.json"), their_ids)
    assert difference is None, difference

    # 3. Their decoder gives the text back from our ids.
    for document, ids in zip(every, our_ids("every.jsonl", "ours.json")):
        assert loaded.decode(ids, skip_special_tokens=False) == document

    # 4. The planted fault: two merges in the wrong order are noticed.
    merges = ours_json["model"]["merges"]
    merges[20], merges[200] = merges[200], merges[20]
    with open(path("swapped.json"), "w", encoding="utf-8") as file:
        json.dump(ours_json, file)
    assert first_difference(every, our_ids("every.jsonl", "swapped.json"), their_ids) is not None, "fault not noticed"

    print(f"{len(every)} documents, {sum(map(len, their_ids))} ids: equal")
    shutil.rmtree(folder)


main()
