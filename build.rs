//! Compiles the generated parser of the Dockerfile grammar.

fn main() {
    let folder = std::path::Path::new("grammar/src");
    cc::Build::new().std("c11").include(folder).files(["parser.c", "scanner.c"].map(|it| folder.join(it))).warnings(false).compile("tree-sitter-dockerfile");
    println!("cargo:rerun-if-changed=grammar/src");
}
