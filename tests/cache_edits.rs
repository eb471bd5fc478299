//! Edits of cache options outside workflows: what is read from compose and bake files is changed by
//! the one module that may, and read again.

use layerwise::edit::EditSet;
use layerwise::syntax::yaml;
use layerwise::text::{Document, Language};
use layerwise::workflow::repair::{CacheEdit, File, add_entries_in_bake, set_attributes_in_bake};
use layerwise::{bake, compose};

fn applied(edit: Option<CacheEdit>, text: &str) -> Option<String> {
    edit.map(CacheEdit::into_edits).map(|it: EditSet| it.apply(text))
}

#[test]
fn an_entry_of_a_compose_file_is_changed_where_it_stands() {
    let text = "services:\n  a:\n    build:\n      cache_to: [type=gha, 'type=inline'] # why\n";
    let document = Document::new(Language::Yaml, text);
    let source = yaml::read(text, document.tree().unwrap());
    let service = &compose::lower(&source).services[0];
    let edit = File { text, source: &source }.set_attributes(&service.build.exports[0], &[("mode", "max")]);
    let after: serde_yaml::Value = serde_yaml::from_str(&applied(edit, text).unwrap()).unwrap();
    assert_eq!(after["services"]["a"]["build"]["cache_to"][0], "type=gha,mode=max");
    assert_eq!(after["services"]["a"]["build"]["cache_to"][1], "type=inline");
}

#[test]
fn an_entry_of_a_bake_file_is_changed_where_it_stands() {
    let text = "variable \"S\" { default = \"s\" }\ntarget \"a\" {\n  cache-to = [\"type=gha,scope=${S}\", \"type=inline\"]\n}\n";
    let bake = bake::lower(text);
    let entry = &bake.targets[0].build.exports[0];
    let after = |name, value| applied(set_attributes_in_bake(text, entry, &[(name, value)]), text);
    assert_eq!(after("mode", "max").unwrap(), text.replace("${S}", "${S},mode=max"));
    assert_eq!(after("scope", "a").unwrap(), text.replace("${S}", "a"));
    assert_eq!(after("scope", "${x}"), None);
    let json = "{\"target\": {\"a\": {\"cache-to\": [\"type=gha\", {\"type\": \"gha\"}]}}}";
    let exports = &bake::lower(json).targets[0].build.exports;
    let after = applied(set_attributes_in_bake(json, &exports[0], &[("mode", "max")]), json);
    assert_eq!(after.unwrap(), json.replace("\"type=gha\"", "\"type=gha,mode=max\""));
    assert_eq!(set_attributes_in_bake(json, &exports[1], &[("mode", "max")]), None);
}

#[test]
fn a_bake_target_gets_exports_of_its_own() {
    let text = "target \"_c\" {\n\tcache-to = [\"type=gha\"]\n}\ntarget \"a\" {\n\tinherits = [\"_c\"]\n}\ntarget \"b\" { inherits = [\"_c\"] }\n";
    let bake = bake::lower(text);
    let add = |index: usize| applied(add_entries_in_bake(text, &bake.targets[index].build, "cache-to", &["type=gha,scope=a"]), text);
    let after = add(1).unwrap();
    assert_eq!(after, text.replace("target \"a\" {\n", "target \"a\" {\n\tcache-to = [\"type=gha,scope=a\"]\n"));
    assert_eq!(bake::lower(&after).targets[1].build.exports[0].location().as_deref(), Some("gha:a"));
    assert_eq!((add(0), add(2)), (None, None));
}
