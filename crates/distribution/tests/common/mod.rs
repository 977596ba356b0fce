//! A scripted HTTP/1.1 server on loopback, one thread a connection. The script sees each request and says what goes over the wire,
//! including what no proper server sends.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use carboy_distribution::{Client, Credentials, Limits, Repository, Settings};
use carboy_oci::image::Descriptor;
use carboy_oci::{Digest, Reference};
use sha2::Digest as _;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Lower-case names.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    /// Only a part of the body was read; the connection is closed, whatever the script answers.
    pub is_cut: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What is done with a request.
pub enum Reply {
    /// Status, headers, body; `Content-Length` is added.
    Full(u16, Vec<(String, String)>, Vec<u8>),
    /// Announces `length`, sends these bytes only, and closes.
    Cut { status: u16, headers: Vec<(String, String)>, length: usize, sent: Vec<u8> },
    /// Sends these bytes of an announced length and then nothing for this long.
    Stall { length: usize, sent: Vec<u8>, pause: Duration },
    /// Closes without an answer.
    Close,
}

pub fn status(code: u16) -> Reply {
    Reply::Full(code, Vec::new(), Vec::new())
}

pub fn body(bytes: impl Into<Vec<u8>>) -> Reply {
    Reply::Full(200, Vec::new(), bytes.into())
}

pub fn with(code: u16, headers: &[(&str, &str)], bytes: impl Into<Vec<u8>>) -> Reply {
    Reply::Full(code, owned(headers), bytes.into())
}

pub fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// Says of a request's head after how many bytes of its body the connection is closed.
pub type Cutter = dyn Fn(&Request) -> Option<usize> + Send + Sync;

pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves until the test's process ends; the listening thread holds nothing else.
    pub fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_cutting(|_| None, script)
    }

    /// The same, with a say in how much of a request is read.
    pub fn start_cutting(
        cutter: impl Fn(&Request) -> Option<usize> + Send + Sync + 'static,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, script): (_, Arc<Script>) = (requests.clone(), Arc::new(script));
        let cutter: Arc<Cutter> = Arc::new(cutter);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, script, cutter) = (seen.clone(), script.clone(), cutter.clone());
                std::thread::spawn(move || serve_cutting(&stream, &seen, &*cutter, &*script));
            }
        });
        Server { address, requests }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// `METHOD path` of all requests.
    pub fn log(&self) -> Vec<String> {
        self.requests().iter().map(|r| format!("{} {}", r.method, r.path)).collect()
    }

    pub fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.address)).unwrap()
    }

    /// A repository `x` here, asked without credentials.
    pub fn repository(&self) -> Repository {
        client(Credentials::none()).repository(&self.reference("x"))
    }
}

/// Answers the requests of one connection.
pub fn serve(stream: &TcpStream, seen: &Mutex<Vec<Request>>, script: &(dyn Fn(&Request) -> Reply + Send + Sync)) {
    serve_cutting(stream, seen, &|_| None, script);
}

fn serve_cutting(
    stream: &TcpStream,
    seen: &Mutex<Vec<Request>>,
    cutter: &Cutter,
    script: &(dyn Fn(&Request) -> Reply + Send + Sync),
) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, cutter) {
        seen.lock().unwrap().push(request.clone());
        let is_head = request.method == "HEAD";
        let reply = script(&request);
        if request.is_cut || write_reply(stream, reply, is_head).is_none() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>, cutter: &Cutter) -> Option<Request> {
    let first = reader.fill_buf().ok()?.first().copied()?;
    if first == 0x16 {
        // A TLS handshake: a plain server does not understand it.
        let mut stream: &TcpStream = reader.get_ref();
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n");
        return None;
    }
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        let values: &mut String = headers.entry(name.to_ascii_lowercase()).or_default();
        if !values.is_empty() {
            values.push_str(", ");
        }
        values.push_str(value);
    }
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut request = Request { method, path, headers, body: Vec::new(), is_cut: false };
    let cut = cutter(&request).filter(|cut| *cut < length);
    (request.body, request.is_cut) = (vec![0; cut.unwrap_or(length)], cut.is_some());
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// `None`: the connection is done with.
fn write_reply(mut stream: &TcpStream, reply: Reply, is_head: bool) -> Option<()> {
    let head = |status: u16, headers: &[(String, String)], length: usize| {
        let mut text = format!("HTTP/1.1 {status} X\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !headers.iter().any(|(name, _)| name == "Transfer-Encoding") {
            text.push_str(&format!("Content-Length: {length}\r\n"));
        }
        text + "\r\n"
    };
    match reply {
        Reply::Full(status, headers, bytes) => {
            stream.write_all(head(status, &headers, bytes.len()).as_bytes()).ok()?;
            if !is_head {
                stream.write_all(&bytes).ok()?;
            }
            Some(())
        }
        Reply::Cut { status, headers, length, sent } => {
            stream.write_all(head(status, &headers, length).as_bytes()).ok()?;
            stream.write_all(&sent).ok()?;
            None
        }
        Reply::Stall { length, sent, pause } => {
            stream.write_all(head(200, &[], length).as_bytes()).ok()?;
            stream.write_all(&sent).ok()?;
            std::thread::sleep(pause);
            None
        }
        Reply::Close => None,
    }
}

/// Short limits, so that misbehaviour is noticed at once.
pub fn client(credentials: Credentials) -> Client {
    let limits = Limits {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        commit: Duration::from_secs(5),
        stall: Duration::from_millis(300),
        tries: 4,
        backoff: Duration::from_millis(2),
        longest_wait: Duration::from_secs(2),
    };
    Client::new(Settings { credentials, limits, ..Settings::default() })
}

pub fn digest(bytes: &[u8]) -> Digest {
    Digest::sha256(&sha2::Sha256::digest(bytes).into())
}

pub fn descriptor(bytes: &[u8]) -> Descriptor {
    let json = format!(r#"{{"mediaType":"x","digest":"{}","size":{}}}"#, digest(bytes), bytes.len());
    serde_json::from_str(&json).unwrap()
}

/// The whole chain of an error on one line, as a user sees it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// A minimal manifest.
pub const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
