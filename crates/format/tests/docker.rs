//! What people write after `docker inspect --format`, mostly from Docker's own documentation, over an object shaped like Docker's.

use carboy_format::{Env, Template};
use serde_json::{Value, json};

fn container() -> Value {
    json!({
        "Id": "0123456789abcdef", "Created": "2026-01-02T03:04:05Z", "Path": "sleep", "Args": ["1d"], "Name": "/web",
        "State": {"Status": "running", "Running": true, "Pid": 4711, "ExitCode": 0},
        "HostConfig": {"NetworkMode": "bridge", "NanoCpus": 1_500_000_000, "CpuShares": 0, "Binds": null, "Memory": 67_108_864},
        "Config": {"Hostname": "0123456789ab", "Env": ["PATH=/bin", "A=b"], "Labels": {"com.example.role": "front"}, "Volumes": null},
        "Mounts": [{"Type": "volume", "Source": "/v", "Destination": "/data", "RW": true}],
        "NetworkSettings": {
            "IPAddress": "10.0.0.2",
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": null},
            "Networks": {"bridge": {"IPAddress": "10.0.0.2", "MacAddress": "02:42:0a:00:00:02"}}
        }
    })
}

#[test]
fn everyday_templates() {
    let cases = [
        ("{{.Id}} {{.ID}}", "0123456789abcdef 0123456789abcdef"),
        ("{{.State.Status}}: {{.State.Pid}}", "running: 4711"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "10.0.0.2"),
        ("{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}", "02:42:0a:00:00:02"),
        ("{{.NetworkSettings.Networks.bridge.IPAddress}}", "10.0.0.2"),
        (
            "{{range $p, $conf := .NetworkSettings.Ports}}{{with $conf}} {{$p}} -> {{(index . 0).HostPort}} {{end}}{{end}}",
            " 80/tcp -> 8080 ",
        ),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{.NetworkSettings.Networks.other}}", "<no value>"),
        ("{{json .Args}} {{json .Config.Labels}}", "[\"1d\"] {\"com.example.role\":\"front\"}"),
        ("{{index .Config.Labels \"com.example.role\"}}|{{index .Config.Labels \"nope\"}}|", "front||"),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "PATH=/bin\nA=b\n"),
        ("{{range $i, $e := .Config.Env}}{{if $i}};{{end}}{{$e}}{{end}}", "PATH=/bin;A=b"),
        ("{{join .Config.Env \",\"}} {{.Config.Env}}", "PATH=/bin,A=b [PATH=/bin A=b]"),
        ("{{.Config.Labels}} {{.Config.Volumes}} {{len .Config.Volumes}}", "map[com.example.role:front] map[] 0"),
        ("{{len .HostConfig.Binds}} {{range .HostConfig.Binds}}x{{else}}none{{end}}", "0 none"),
        ("{{.HostConfig.NanoCPUs}} {{.HostConfig.CPUShares}} {{.HostConfig.Memory}}", "1500000000 0 67108864"),
        ("{{range .Mounts}}{{.Source}}:{{.Destination}}:{{.RW}}{{end}}", "/v:/data:true"),
        ("{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Destination}}{{end}}{{end}}", "/data"),
        ("{{slice .ID 0 12}} {{truncate .ID 4}} {{upper .Path}}", "0123456789ab 0123 SLEEP"),
        ("{{.Name | printf \"%-8s|\"}}", "/web    |"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{- range .Args -}} {{ . }} {{- end -}}", "1d"),
    ];
    let data = container();
    for (text, want) in cases {
        let got = Template::parse(text).and_then(|t| t.render(&data));
        assert_eq!(got.as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn types_that_print_otherwise_than_their_json() {
    let data = json!({
        "Config": {
            "ExposedPorts": {"443/udp": {}, "80/tcp": {}}, "Volumes": {}, "Labels": {"Interval": "x"},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 90_000_000_000_i64, "Timeout": 0},
        },
        "rootfs": {"diff_ids": ["sha256:1"]}, "os.version": "10",
        "Metadata": {"LastTagTime": "2026-11-22T09:06:19.5Z"},
    });
    for (text, want) in [
        ("{{.Config.ExposedPorts}} {{.Config.Volumes}}", "map[443/udp:{} 80/tcp:{}] map[]"),
        ("{{.Config.Healthcheck.Interval}} {{println .Config.Healthcheck.Timeout}}", "1m30s 0s\n"),
        ("{{json .Config.Healthcheck}}", "{\"Test\":[\"CMD\",\"true\"],\"Interval\":90000000000,\"Timeout\":0}"),
        ("{{.RootFS.DiffIDs}} {{.OSVersion}}", "[sha256:1] 10"),
        ("{{gt .Config.Healthcheck.Interval 5}} {{.Config.Labels.Interval}}", "true x"),
        (
            "{{.Metadata.LastTagTime}}|{{json .Metadata}}",
            "2026-11-22 09:06:19.5 +0000 UTC|{\"LastTagTime\":\"2026-11-22T09:06:19.5Z\"}",
        ),
    ] {
        let got = Template::parse(text).and_then(|t| t.render(&data));
        assert_eq!(got.as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn fields_that_json_leaves_out() {
    let data = json!({"Config": {"Cmd": null, "Labels": null}, "State": {"Pid": 1}});
    for (text, want) in [
        ("{{json .Config.ExposedPorts}} {{.Config.ExposedPorts}} {{len .Config.Volumes}}", "null map[] 0"),
        ("{{.Config.StopSignal}}|{{.Config.Healthcheck}}|{{json .Config.Healthcheck}}", "|<nil>|null"),
        ("{{.Config.Shell}} {{.Config.Cmd}} {{json .Config.Cmd}} {{.Config.ArgsEscaped}}", "[] [] null false"),
        ("{{.State.Interval}} {{.State.Retries}}", "0s 0"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
        ("{{with .Config.Healthcheck}}{{.Test}}{{end}}{{range $k, $v := .Config.ExposedPorts}}{{$k}}{{end}}|", "|"),
        ("{{.Config.Labels}} {{index .Config.Labels \"x\"}}|{{range .Config.OnBuild}}x{{end}}", "map[] |"),
    ] {
        let got = Template::parse(text).and_then(|t| t.render(&data));
        assert_eq!(got.as_deref(), Ok(want), "{text}");
    }
    // A row of a listing has them or has not.
    let row = Template::parse("{{.Shell}}").unwrap().render_with(&json!({"ID": "x"}), &Env::row());
    assert!(row.is_err_and(|e| e.message.contains("no entry for key \"Shell\"")));
}

#[test]
fn mistakes_say_what_docker_says() {
    let cases = [
        (
            "{{.Foo}}",
            "template parsing error: template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\"",
        ),
        (
            "{{.state.Pid}}",
            "template parsing error: template: :1:8: executing \"\" at <.state.Pid>: map has no entry for key \"state\"",
        ),
        (
            "{{.State.Health.Status}}",
            "template parsing error: template: :1:8: executing \"\" at <.State.Health.Status>: map has no entry for key \"Health\"",
        ),
        ("{{.Id", "template parsing error: template: :1: unclosed action"),
        ("{{.Id }", "template parsing error: template: :1: unexpected \"}\" in operand"),
        ("{{foo .Id}}", "template parsing error: template: :1: function \"foo\" not defined"),
        ("{{if .Id}}", "template parsing error: template: :1: unexpected EOF"),
    ];
    let data = container();
    for (text, want) in cases {
        let got = Template::parse(text).and_then(|t| t.render(&data)).unwrap_err().to_string();
        assert_eq!(got, want, "{text}");
    }
}

#[test]
fn methods_take_arguments() {
    let label = |row: &Value, name: &str, args: &[Value]| match (name, args) {
        ("Label", [Value::String(key)]) => Some(Ok(row["Labels"].get(key).cloned().unwrap_or_else(|| "".into()))),
        ("Label", _) => Some(Err("one name is wanted".to_owned())),
        _ => None,
    };
    let env = Env { methods: Some(&label), ..Env::docker() };
    let data = json!({"Labels": {"a": "1"}, "ID": "x"});
    let show = |text: &str| Template::parse(text).and_then(|t| t.render_with(&data, &env)).map_err(|e| e.message);
    assert_eq!(show("{{.Label \"a\"}}-{{\"b\" | .Label}}-{{.ID}}").as_deref(), Ok("1--x"));
    assert_eq!(
        show("{{.Label}}"),
        Err("template: :1:2: executing \"\" at <.Label>: error calling Label: one name is wanted".to_owned())
    );
}
