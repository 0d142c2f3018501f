# Builds the function and packages it. Sourced by deploy/aws/deploy.

build() {
    local architecture target machine compiler=cc archive
    architecture=$(parameter Architecture x86_64)
    case $architecture in
    x86_64) target=x86_64-unknown-linux-gnu ;;
    arm64) target=aarch64-unknown-linux-gnu ;;
    *) fail "Architecture=$architecture: there are x86_64 and arm64" ;;
    esac
    package=$root/target/aws/bootstrap-$architecture.zip
    command -v cargo >/dev/null ||
        fail "cargo is missing: install the Rust toolchain from https://rustup.rs, or pass a released package, a file or an address, to --package"
    [[ $(uname -s) == Linux ]] ||
        fail "a static program for Linux is built on Linux: run \"deploy/aws/deploy build\" there or in a container, and pass the file to --package"
    [[ -d $(rustc --print sysroot)/lib/rustlib/$target/lib ]] ||
        fail "the toolchain has no target $target: add it with \"rustup target add $target\""
    machine=$(uname -m)
    if [[ $architecture == arm64 && $machine != aarch64 ]]; then
        compiler=aarch64-linux-gnu-gcc
        command -v $compiler >/dev/null ||
            fail "there is no C compiler and linker for arm64: install one, on Debian with \"apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross\""
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$compiler CC_aarch64_unknown_linux_gnu=$compiler
    elif [[ $architecture == x86_64 && $machine != x86_64 ]]; then
        compiler=x86_64-linux-gnu-gcc
        command -v $compiler >/dev/null ||
            fail "there is no C compiler and linker for x86_64: install one, on Debian with \"apt-get install gcc-x86-64-linux-gnu libc6-dev-amd64-cross\""
        export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=$compiler CC_x86_64_unknown_linux_gnu=$compiler
    else
        command -v $compiler >/dev/null ||
            fail "there is no C compiler: install one, on Debian with \"apt-get install gcc libc6-dev\", on Amazon Linux with \"dnf install gcc glibc-static\""
    fi
    # A compiler prints the name as it is if it does not find the file.
    archive=$($compiler -print-file-name=libc.a)
    [[ $archive == /* ]] ||
        fail "$compiler has no static C library (libc.a): install it, on Debian with \"apt-get install libc6-dev\" (for another architecture libc6-dev-ARCHITECTURE-cross), on Fedora and Amazon Linux with \"dnf install glibc-static\""
    log "building bootstrap for $architecture"
    # Static: independent of the system's C library.
    (cd "$root" && CARGO_TARGET_DIR=$root/target RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --locked --profile lambda -p tintype-lambda --target "$target")
    pack "$root/target/$target/lambda/bootstrap" bootstrap 755 "$package"
    log "packaged $package, $(wc -c <"$package") bytes"
}

# A zip of one file under a name and mode. Its bytes depend on those of the file alone.
pack() {
    local file=$1 name=$2 mode=$3 package=$4 folder
    mkdir -p "${package%/*}"
    rm -f "$package"
    if command -v zip >/dev/null; then
        folder=$(mktemp -d "$workspace/XXXXXX")
        cp "$file" "$folder/$name"
        # Lambda runs it as another user.
        chmod "$mode" "$folder/$name"
        TZ=UTC touch -t 198001010000.00 "$folder/$name"
        TZ=UTC zip --quiet -9 -X --junk-paths "$package" "$folder/$name"
    elif command -v python3 >/dev/null; then
        python3 - "$file" "$name" "$mode" "$package" <<'END'
import sys, zipfile
file, name, mode, package = sys.argv[1:]
entry = zipfile.ZipInfo(name)
entry.external_attr = (0o100000 | int(mode, 8)) << 16
with zipfile.ZipFile(package, "w") as written, open(file, "rb") as source:
    written.writestr(entry, source.read(), zipfile.ZIP_DEFLATED, 9)
END
    else
        fail "neither zip nor python3 is there to create the package: install one"
    fi
}

# Downloads a released package. Beside it is its SHA-256.
download() {
    local address=$1 expected actual
    command -v curl >/dev/null || fail "curl is missing: download $address and pass the file to --package"
    log "downloading $address"
    package=$workspace/${address##*/}
    curl --fail --silent --show-error --location --output "$package" "$address" || fail "$address cannot be downloaded"
    expected=$(curl --fail --silent --show-error --location "$address.sha256" | cut -d' ' -f1) ||
        fail "$address.sha256 cannot be downloaded, so the package cannot be checked"
    actual=$(digest <"$package")
    [[ $actual == "$expected" ]] || fail "$address has the SHA-256 $actual instead of $expected: it is not used"
}
