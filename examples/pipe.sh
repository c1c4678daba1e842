#!/bin/sh
# A topic as a pipe, with nothing but curl: the lines of standard input become records while they come, and each line says
# so on its way back. `seq 5 | examples/pipe.sh [topic]`
set -eu
url="${MILLRACE_URL:-http://127.0.0.1:8082}"
topic="${1:-lines}"

curl -sSf --json "{\"name\":\"$topic\"}" "$url/v1/topics" >/dev/null

# In: one JSON record a line, as long as it takes. -T streams; --data-binary would wait for the end.
sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/{"value":"&"}/' |
  curl -sSf -X POST -H 'content-type: application/x-ndjson' -T - "$url/v1/topics/$topic/records" >&2
echo >&2

# Out: what is there; add follow=true to stay.
curl -sSfN -H 'accept: application/x-ndjson' "$url/v1/topics/$topic/records?offset=earliest"
