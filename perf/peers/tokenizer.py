#!/usr/bin/env python3
"""Trains a byte-level BPE, or encodes with one, as trireme-data does, by the package tokenizers.

    perf/peers/tokenizer.py train FILE.jsonl --vocab 8192 --out tokenizer.json
    perf/peers/tokenizer.py encode FILE.jsonl --tokenizer tokenizer.json --out tokens.bin

Each line's "text" is a document. RAYON_NUM_THREADS is the number of threads. Prints one JSON object:
seconds of the work itself (without reading the file), of the whole process, and what came out.
"""

import argparse
import array
import json
import time

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"
BATCH = 1000  # documents of one call


def documents(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def train(arguments, texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=arguments.vocab, special_tokens=[END], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator((texts[i:i + BATCH] for i in range(0, len(texts), BATCH)), trainer)
    tokenizer.save(arguments.out)
    return tokenizer.get_vocab_size()


def encode(arguments, texts):
    tokenizer = Tokenizer.from_file(arguments.tokenizer)
    end = tokenizer.token_to_id(END)
    count = 0
    with open(arguments.out, "wb") as out:
        for i in range(0, len(texts), BATCH):
            for encoding in tokenizer.encode_batch_fast(texts[i:i + BATCH], add_special_tokens=False):
                ids = array.array("H", encoding.ids)
                ids.append(end)
                out.write(ids.tobytes())
                count += len(ids)
    return count


def main():
    start = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", choices=("train", "encode"))
    parser.add_argument("file")
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--tokenizer")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    texts = documents(arguments.file)
    begin = time.perf_counter()
    made = (train if arguments.work == "train" else encode)(arguments, texts)
    end = time.perf_counter()
    print(json.dumps({"work": end - begin, "seconds": end - start, "made": made}))


if __name__ == "__main__":
    main()
