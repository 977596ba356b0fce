//! `search`: of registries with an index, as Docker Hub's, and of those that can only list what they have.

use crate::common::http::{Request, Server};
use crate::common::{Env, Registry};

const INDEX: &str = r#"{"num_results":3,"results":[
    {"name":"library/box","description":"A small\nbox that is described at such a length that nobody reads it","star_count":90,"is_official":true,"is_automated":false},
    {"name":"team/box","description":null,"star_count":5,"is_official":false,"is_automated":true},
    {"name":"other/box","description":"Other","star_count":0,"is_official":false,"is_automated":false}]}"#;

fn index(request: &Request) -> (u16, String, Vec<u8>) {
    let found = request.path.starts_with("/v1/search?q=box");
    if found { (200, String::new(), INDEX.into()) } else { (404, String::new(), Vec::new()) }
}

#[test]
#[ignore = "needs root"]
fn an_index_is_asked() {
    let (env, server) = (Env::new(), Server::start(index));
    let term = format!("{}/box", server.address);
    let at = &server.address;
    let table = env.carboy(["search", &term]).ok();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split("  ").filter(|w| !w.is_empty()).collect()).collect();
    assert_eq!(rows[0].iter().map(|w| w.trim()).collect::<Vec<_>>(), ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]);
    let name = format!("{at}/library/box");
    let wanted = [&name, "A small box that is described at such a leng…", "90", "[OK]"];
    assert_eq!(rows[1].iter().map(|w| w.trim()).collect::<Vec<_>>(), wanted, "{table}");
    assert_eq!(rows.len(), 4);
    let names = |options: &[&str]| {
        let out = env.carboy(["search", "--format", "{{.Name}} {{.StarCount}}"]).args(options).arg(&term).ok();
        out.lines().map(|line| line.replace(&format!("{at}/"), "")).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--filter", "stars=5"]), ["library/box 90", "team/box 5"]);
    assert_eq!(names(&["-f", "is-official=true"]), ["library/box 90"]);
    assert_eq!(names(&["-f", "is-automated=true", "-f", "stars=1"]), ["team/box 5"]);
    assert_eq!(names(&["--limit", "1"]), ["library/box 90"]);
    assert!(server.requests().iter().any(|request| request.path == "/v1/search?q=box&n=1"));
    let whole = env.carboy(["search", "--no-trunc", "--format", "{{.Description}}", &term]).ok();
    assert!(whole.contains("that nobody reads it"), "{whole}");
    let podmans = "{{.Index}} {{.Stars}} {{.Official}}{{.Automated}}|";
    let named = env.carboy(["search", "--limit=1", "--format", podmans, &term]).ok();
    assert_eq!(named, format!("{at} 90 [OK]|\n"));
    let json = env.carboy(["search", "--format", "json", &term]).ok();
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["StarCount"], "90", "{json}");
    for (option, words) in
        [("--limit=0", "between 1 and 100"), ("--filter=stars=many", "stars=NUMBER"), ("--filter=x", "is-official=")]
    {
        let line = env.carboy(["search", option, &term]).fails(125);
        assert!(line.contains(words), "{line}");
    }
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn a_registry_without_an_index_lists_what_it_has() {
    let (env, registry) = (Env::new(), Registry::start());
    for name in ["team/box:1", "team/box:2", "team/other:1"] {
        registry.push("busybox", name, &[]);
    }
    let at = &registry.address;
    let names = env.carboy(["search", "--format", "{{.Name}}", &format!("{at}/BOX")]).ok();
    assert_eq!(names, format!("{at}/team/box\n"));
    let tags = env.carboy(["search", "--list-tags", "--format", "{{.Name}}:{{.Tag}}", &format!("{at}/team/box")]).ok();
    let mut tags: Vec<&str> = tags.lines().collect();
    tags.sort_unstable();
    assert_eq!(tags, [format!("{at}/team/box:1"), format!("{at}/team/box:2")], "in the registry's order");
    let none = env.carboy(["search", "--list-tags", &format!("{at}/team/none")]).fails(1);
    assert!(none.contains("not found") || none.contains("name unknown"), "{none}");
}
