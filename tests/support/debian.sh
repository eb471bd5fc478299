# Programs of Debian below target/, without installing anything. To be sourced by scripts in bash.
#
# Needs Debian's apt, and no rights: it is given folders of its own. The mirror is that of the machine.

# debian_unpack FOLDER PACKAGE…: unpacks packages, and all that they depend on and this system lacks.
# They run with what this system has.
debian_unpack() {
    local folder=$1
    shift
    _debian_fetch "$folder" "$@"
}

# debian_unpack_from SUITE FOLDER PACKAGE…: unpacks packages of another release, and all that they
# depend on, down to the C library. They run with `debian_run`.
debian_unpack_from() {
    local suite=$1 folder=$2
    shift 2
    mkdir -p "$folder/apt"
    : >"$folder/apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(_debian_mirror) $suite main" >"$folder/apt/sources.list"
    # That a mirror is behind is no fault of ours.
    _debian_fetch "$folder" -o "Dir::Etc::SourceList=$folder/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::status=$folder/apt/status" -o Acquire::Check-Valid-Until=false "$@"
}

# debian_run FOLDER PROGRAM [ARGUMENT…]: replaces the shell by a program of another release, which
# runs with the loader and the libraries that were unpacked with it.
debian_run() {
    local folder=$1 program=$2
    shift 2
    local libraries
    libraries=$(dirname "$(find "$folder/root" -name libc.so.6 -print -quit)")
    exec "$libraries"/ld-linux-*.so.* --library-path "$libraries" "$folder/root/$program" "$@"
}

_debian_fetch() {
    local folder=$1 archive
    shift
    mkdir -p "$folder"/apt/{lists,archives}/partial
    local apt=(apt-get -qq -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt")
    local options=()
    while [[ ${1:-} == -o ]]; do
        options+=("$1" "$2")
        shift 2
    done
    "${apt[@]}" "${options[@]}" update
    "${apt[@]}" "${options[@]}" --yes --no-install-recommends --download-only --reinstall install "$@" >"$folder/apt/log" || { cat "$folder/apt/log" >&2; return 1; }
    for archive in "$folder"/apt/archives/*.deb; do
        dpkg-deb -x "$archive" "$folder/root"
    done
    rm -rf "$folder/apt"
}

_debian_mirror() {
    # Only its address tells the archive from that of the security updates before anything is fetched.
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/$')
    [[ -n $mirror ]] || { echo 'this system has no mirror of Debian' >&2; return 1; }
    echo "$mirror"
}
