#!/usr/bin/env bash
# What action.yml runs: fetches a release, and checks with it. The status is that of the check.
#
# The runner and action.yml say in the environment what to do. It has to work in the bash 3.2 of macOS, and in
# containers that have no more than curl and tar.
set -euo pipefail

fail() {
    printf '::error title=Layerwise::%s\n' "$1"
    exit 2
}

find_target() {
    case $RUNNER_OS-$RUNNER_ARCH in
        Linux-X64) echo x86_64-unknown-linux-musl ;;
        Linux-ARM64) echo aarch64-unknown-linux-musl ;;
        macOS-X64) echo x86_64-apple-darwin ;;
        macOS-ARM64) echo aarch64-apple-darwin ;;
        Windows-X64) echo x86_64-pc-windows-msvc ;;
        Windows-ARM64) echo aarch64-pc-windows-msvc ;;
        *) return 1 ;;
    esac
}

# Fetches and unpacks into the working directory: a path of Windows has a colon, which tar takes for the name of a host.
# Each command says what is to be done when it fails, because bash forgets `set -e` wherever a status is asked for.
fetch() {
    local archive=$1 file sums=(sha256sum)
    command -v sha256sum >/dev/null || sums=(shasum -a 256)
    for file in "$archive" SHA256SUMS; do
        curl --silent --show-error --fail --location --retry 3 --output "$file" "$LAYERWISE_RELEASES/v$LAYERWISE_VERSION/$file" || return
    done
    grep "  $archive\$" SHA256SUMS | "${sums[@]}" --check >/dev/null || return
    tar -xzf "$archive"
}

target=$(find_target) || fail "there is no program for $RUNNER_OS on $RUNNER_ARCH"
# It becomes a part of paths.
[[ $LAYERWISE_VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+([-+.0-9A-Za-z]*)$ ]] || fail 'the input version is not one like 0.1.0'

folder=$RUNNER_TEMP/layerwise-$LAYERWISE_VERSION
program=$folder/layerwise-$target/layerwise
if [[ ! -x $program ]]; then
    mkdir -p "$folder"
    (cd "$folder" && fetch "layerwise-$target.tar.gz") || fail "version $LAYERWISE_VERSION cannot be fetched"
fi

arguments=(check --format "$LAYERWISE_FORMAT")
read -r -d '' -a further <<<"$LAYERWISE_ARGS" || true
# An empty array counts as unset in an old bash.
arguments+=(${further[@]+"${further[@]}"} --)
while IFS= read -r line; do
    [[ -z $line ]] || arguments+=("$line")
done <<<"$LAYERWISE_PATH"

if [[ $LAYERWISE_FORMAT == sarif ]]; then
    report=$RUNNER_TEMP/layerwise.sarif
    printf 'report=%s\n' "$report" >>"$GITHUB_OUTPUT"
    exec "$program" "${arguments[@]}" >"$report"
fi
exec "$program" "${arguments[@]}"
