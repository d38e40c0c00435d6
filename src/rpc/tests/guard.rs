//! Who is let in, and with what.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Node;
use crate::http::testing::exchange;
use crate::rpc::MAX_BODY;

const BODY: &str = r#"{"method":"getblockcount","id":1}"#;

fn request(first: &str, headers: &str) -> Vec<u8> {
    format!(
        "{first} HTTP/1.1\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    )
    .into_bytes()
}

#[test]
fn only_the_cookie_opens_the_door_and_knocking_is_slow() {
    let node = Node::new();
    let base = "Host: localhost\r\nContent-Type: application/json\r\n";
    let right = node.authorization();
    assert_eq!(
        exchange(node.address, &request("POST /", &format!("{base}{right}"))).status,
        200
    );
    for wrong in [
        "",
        "Authorization: Basic eDp5\r\n",
        "Authorization: nonsense\r\n",
        "Authorization: Basic\r\n",
        &right.repeat(2),
    ] {
        let start = Instant::now();
        let answer = exchange(node.address, &request("POST /", &format!("{base}{wrong}")));
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(
            answer
                .head
                .contains("www-authenticate: basic realm=\"jsonrpc\"")
        );
        assert!(start.elapsed() >= Duration::from_millis(250));
    }
}

#[test]
fn pages_of_other_sites_are_turned_away() {
    let node = Node::new();
    let good = format!("{}Content-Type: application/json\r\n", node.authorization());
    for (headers, status) in [
        ("Host: evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
        ("", 403),
        ("Host: node:7668\r\n", 200),
        ("Host: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:1\r\n", 200),
    ] {
        let answer = exchange(
            node.address,
            &request("POST /", &format!("{headers}{good}")),
        );
        assert_eq!(answer.status, status, "{headers}");
    }
}

#[test]
fn other_methods_paths_and_types_are_refused() {
    let node = Node::new();
    let host = format!("Host: localhost\r\n{}", node.authorization());
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    for (first, kind, status) in [
        ("POST /", json, 200),
        ("GET /", json, 405),
        ("OPTIONS /", json, 405),
        ("POST /wallet/x", json, 404),
        ("POST /", "Content-Type: text/plain\r\n", 415),
        (
            "POST /",
            "Content-Type: application/x-www-form-urlencoded\r\n",
            415,
        ),
        ("POST /", "", 415),
    ] {
        let answer = exchange(node.address, &request(first, &format!("{host}{kind}")));
        assert_eq!(answer.status, status, "{first} {kind}");
    }
}

#[test]
fn too_much_is_refused_while_it_comes() {
    let node = Node::new();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\n{}Content-Type: application/json\r\n",
        node.authorization()
    );
    let announced = format!("{head}Content-Length: {}\r\n\r\n", MAX_BODY + 1);
    assert_eq!(exchange(node.address, announced.as_bytes()).status, 413);

    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(MAX_BODY / (1 << 20) + 1)
    );
    assert_eq!(exchange(node.address, chunked.as_bytes()).status, 413);

    // A client that goes away in the middle, at every byte of a request.
    let whole = format!("{head}Content-Length: {}\r\n\r\n{BODY}", BODY.len());
    for end in 0..whole.len() {
        let mut stream = TcpStream::connect(node.address).expect("the server listens");
        stream
            .write_all(&whole.as_bytes()[..end])
            .expect("a short write");
    }

    let long = format!("{head}X-Long: {}\r\n\r\n", "a".repeat(20_000));
    assert_eq!(exchange(node.address, long.as_bytes()).status, 431);
    let many = format!("{head}{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(exchange(node.address, many.as_bytes()).status, 431);

    // None of it did any harm.
    assert_eq!(node.call("getblockcount", serde_json::json!([])), 0);
}

#[test]
fn idle_connections_make_way() {
    let node = Node::new();
    let idle: Vec<_> = (0..200)
        .filter_map(|_| TcpStream::connect(node.address).ok())
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(node.call("getblockcount", serde_json::json!([])), 0);
    drop(idle);
}
