# GCIDE in dictd's form -> JSON Lines, one dictionary entry a line: {"text": "Headword, part of speech\nsense\n..."}.
# Each line is preceded by a 10-digit key and a space: sorted by it, entries lie in an order without alphabet, so that
# the last documents (which validate) are like the others. Markup goes: pronunciations, cross-reference braces, source
# tags, ASCII codes of accented letters. For any POSIX awk.
BEGIN {
  split("ae æ AE Æ oe œ OE Œ 'e é 'a á 'o ó 'i í 'u ú `e è `a à `o ò `u ù ^e ê ^a â ^o ô ^i î ^u û " \
        "\"e ë \"a ä \"o ö \"u ü \"i ï ~n ñ ,c ç deg ° sect § eth ð yogh ȝ asl a imac i aum ä " \
        "ng n th th root √ pound £ frac12 ½ frac14 ¼ 1/2 ½", pairs, " ")
  for (i = 1; i in pairs; i += 2) letter[pairs[i]] = pairs[i + 1]
}

# The codes in square brackets become letters; other brackets (etymologies, labels) stay.
function letters(text,    out, code, plain) {
  out = ""
  while (match(text, /\[[^][ ][^][ ]?[^][ ]?[^][ ]?[^][ ]?[^][ ]?\]/)) {
    code = substr(text, RSTART + 1, RLENGTH - 2)
    out = out substr(text, 1, RSTART - 1)
    plain = code
    if (code in letter) out = out letter[code]
    else if (gsub(/[^A-Za-z]/, "", plain) > 0 && length(plain) <= 2 && code !~ /\./) out = out plain
    else if (code ~ /^\.[a-z]$/) out = out plain
    else out = out "[" code "]"
    text = substr(text, RSTART + RLENGTH)
  }
  return out text
}

function clean(text) {
  gsub(/\\[^\\]*\\( *\([^()]*\))?/, "", text)  # \La*ment"er\ (pronunciation)
  gsub(/[{}]/, "", text)
  text = letters(text)
  gsub(/\(-[^()]*\)/, "", text)                # pronounced endings: (-n[=e])
  gsub(/ \([^() ]*["*][^() ]*\)/, "", text)     # pronounced forms: (b[i^]z"[y^]d)
  gsub(/\\/, "", text)
  gsub(/[ \t]+/, " ", text)
  gsub(/√[0-9]+\.? ?/, "", text)               # numbers of roots in a list that is not here
  gsub(/ ,/, ",", text)
  gsub(/ \. /, ". ", text)
  gsub(/,,+/, ",", text)
  sub(/^ /, "", text)
  sub(/ $/, "", text)
  return text
}

function end_paragraph() {
  paragraph = clean(paragraph)
  if (paragraph != "") {
    entry = entry (entry == "" ? "" : "\n") paragraph
    ++paragraphs
  }
  paragraph = ""
}

function end_entry() {
  end_paragraph()
  if ((paragraphs > 1 || length(entry) > 60) && !(entry ~ /^00-database/)) {
    gsub(/"/, "\\\"", entry)
    gsub(/\n/, "\\n", entry)
    ++entries
    printf "%010.0f {\"text\": \"%s\\n\"}\n", (entries * 2654435761) % 4294967296, entry
  }
  entry = ""
  paragraphs = 0
}

{
  # A source tag ends its line; what dictd left behind it is an index word.
  sub(/\[(1913 Webster|Webster 1913|WordNet|PJC|Century|AS|RP|GG|mw|Funk|MW)[^]]*\].*$/, "")
}
/^\\/ { paragraph = paragraph " " $0; line = $0; next }  # a pronunciation that had no room
/^[^ \t]/ { end_entry(); head = 1; paragraph = line = $0; next }
/^[ \t]*$/ { end_paragraph(); head = 0; next }
/^ +([0-9]+\.|\([a-z]\)|Syn:|Note:) / { end_paragraph(); head = 0 }
# A headword's lines go on while a bracket is open, and where the next word had no room on the line of 64 columns.
head {
  opened = paragraph
  first_word = $1
  if (gsub(/[[(]/, "", opened) == gsub(/[])]/, "", opened) && length(line) + 1 + length(first_word) <= 64) {
    end_paragraph()
    head = 0
  }
}
{ paragraph = paragraph " " $0; line = $0 }
END { end_entry() }
