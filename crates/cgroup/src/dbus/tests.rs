//! Encodings by the bytes, and a whole conversation with a bus of our own making.

use super::*;
use std::os::unix::net::UnixListener;

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

#[test]
fn values_are_laid_out_as_the_specification_says() {
    assert_eq!(encoded(&Value::Str("foo".into())), b"\x03\0\0\0foo\0");
    assert_eq!(encoded(&Value::Signature("as".into())), b"\x02as\0");
    assert_eq!(encoded(&Value::Array("u".into(), vec![Value::U32(5)])), [4, 0, 0, 0, 5, 0, 0, 0]);
    // Padding to 8 before the first element does not count, and is there without one too.
    let big = Value::Array("t".into(), vec![Value::U64(7)]);
    assert_eq!(encoded(&big), [8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encoded(&Value::Array("(ss)".into(), vec![])), [0; 8]);
    let variant = Value::Variant(Box::new(Value::U64(1)));
    assert_eq!(encoded(&variant), [1, b't', 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let pair = Value::Struct(vec![Value::Byte(1), Value::Bool(true)]);
    assert_eq!(encoded(&pair), [1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(pair.signature(), "(yb)");
}

fn sample() -> Message {
    let method = Method { destination: "a.b", path: "/a/b", interface: "a.b.C", member: "Do" };
    let property =
        |name: &str, value: Value| Value::Struct(vec![Value::Str(name.into()), Value::Variant(Box::new(value))]);
    let pair = Value::Struct(vec![Value::Str("/dev/null".into()), Value::Str("rwm".into())]);
    let properties = vec![
        property("PIDs", Value::Array("u".into(), vec![Value::U32(1), Value::U32(2)])),
        property("DeviceAllow", Value::Array("(ss)".into(), vec![pair])),
        property("Mask", Value::Array("y".into(), vec![Value::Byte(255)])),
        property("Max", Value::U64(u64::MAX)),
        property("Ratio", Value::Double(0.5)),
        property("Less", Value::I64(-1)),
    ];
    Message::call(9, method, &[Value::Str("x.scope".into()), Value::Array("(sv)".into(), properties)])
}

#[test]
fn messages_survive_the_way_there_and_back() {
    let message = sample();
    let bytes = message.encode();
    assert_eq!(message::rest_length(&bytes[..message::FIXED]).unwrap() + message::FIXED, bytes.len());
    assert_eq!(Message::decode(&bytes).unwrap(), message);
}

#[test]
fn damage_is_an_error_and_no_panic() {
    let bytes = sample().encode();
    for end in 0..bytes.len() {
        assert!(Message::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        for value in [0, 1, 0x28, 0x61, 0x76, 0x7f, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            let _ = message::rest_length(&bytes[..message::FIXED]);
            let _ = Message::decode(&bytes);
        }
    }
    let deep = Value::Signature("a".repeat(255));
    let mut bytes = Vec::new();
    deep.encode(&mut bytes);
    assert!(value::Decoder::new(&bytes, 0, false).values("v").is_err());
}

#[test]
fn the_other_byte_order_is_understood() {
    let bytes = [0, 0, 0, 3, b'f', b'o', b'o', 0, 0, 0, 0, 9];
    let values = value::Decoder::new(&bytes, 0, true).values("su").unwrap();
    assert_eq!(values, [Value::Str("foo".into()), Value::U32(9)]);
}

/// Answers like a bus: asks for the data of EXTERNAL, sends a signal before each answer, refuses what is called `Bad`.
fn serve(listener: &UnixListener) {
    let (mut stream, _) = listener.accept().unwrap();
    // Nothing may follow `BEGIN` before the answer has been read.
    let mut read = vec![0; 256];
    let length = stream.read(&mut read).unwrap();
    assert_eq!(&read[..length], b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
    stream.write_all(b"DATA\r\nOK 0123\r\n").unwrap();
    let mut connection = Connection { stream, serial: 100, daemon: false, signals: Vec::new() };
    while let Ok(call) = connection.receive() {
        let signal = Message {
            kind: Kind::Signal,
            serial: 1,
            member: "Done".into(),
            body: call.body.clone(),
            ..Message::default()
        };
        let answer = Message { serial: 2, reply_to: call.serial, body: call.body.clone(), ..Message::default() };
        let answer = match call.member.as_str() {
            "Bad" => Message { kind: Kind::Error, error: "a.b.No".into(), ..answer },
            _ => Message { kind: Kind::Return, ..answer },
        };
        connection.stream.write_all(&signal.encode()).unwrap();
        connection.stream.write_all(&answer.encode()).unwrap();
    }
}

#[test]
fn a_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || serve(&listener));
    let address = address::parse_one(&format!("unix:path={}", path.display()));
    let stream = address.connect(Duration::from_secs(10)).unwrap();
    let mut connection = Connection { stream, serial: 0, daemon: true, signals: Vec::new() };
    connection.add_match("type='signal'").unwrap();
    let method = Method { destination: "d", path: "/", interface: "a.B", member: "Good" };
    let text = Value::Str("hello".into());
    assert_eq!(connection.call(method, std::slice::from_ref(&text)).unwrap(), std::slice::from_ref(&text));
    let error = connection.call(Method { member: "Bad", ..method }, &[Value::Str("why".into())]).unwrap_err();
    assert_eq!((error.name(), error.to_string().as_str()), (Some("a.b.No"), "a.b.No: why"));
    // Signals that came before the answers are not lost.
    let seen = connection.wait(|m| (m.body == [Value::Str("hello".into())]).then_some(m.member.clone())).unwrap();
    assert_eq!(seen, "Done");
    drop(connection);
    server.join().unwrap();
}
