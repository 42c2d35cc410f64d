#!/bin/sh
# What trunk does last: tells the page which build it is, and its service worker what the build consists of. Both change whenever
# any file does, for a browser looks for another build by comparing the service worker.
set -eu
cd "$TRUNK_STAGING_DIR"

hashes() {
    if command -v sha256sum > /dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}
files() {
    find . -type f ! -name service_worker.js ! -name '*.br' | LC_ALL=C sort | while read -r file; do hashes "$file"; done
}

version=$(files | hashes | cut -c1-16)
sed "s/BUILD-VERSION/$version/" index.html > stamped
mv stamped index.html
list=$(files | sed 's|^\([0-9a-f]*\) [ *]\./\(.*\)$|  "\2": "\1",|')
script=$(cat service_worker.js)
printf 'const VERSION = "%s";\nconst FILES = {\n%s\n};\n\n%s\n' "$version" "$list" "$script" > service_worker.js
