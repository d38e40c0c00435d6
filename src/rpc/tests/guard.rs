//! Who is let in, and with what.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Node;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::testing::exchange;
use crate::rpc::methods::by_category;
use crate::rpc::{Cookie, MAX_BODY, RpcUser};

const BODY: &str = r#"{"method":"getblockcount","id":1}"#;

fn request(first: &str, headers: &str) -> Vec<u8> {
    format!(
        "{first} HTTP/1.1\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    )
    .into_bytes()
}

#[test]
fn r01_only_the_cookie_opens_the_door_and_knocking_is_slow() {
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

/// A user's password is as good as the cookie, and the node knows its salted hash alone.
#[test]
fn r01_a_user_is_let_in_by_password() {
    let (user, password) = RpcUser::generate("alice").expect("randomness");
    let node = Node::with_users(vec![user]);
    let status = |credentials: String| {
        let header = format!(
            "Host: localhost\r\nContent-Type: application/json\r\nAuthorization: Basic {}\r\n",
            STANDARD.encode(credentials)
        );
        exchange(node.address, &request("POST /", &header)).status
    };
    assert_eq!(status(format!("alice:{}", *password)), 200);
    for wrong in ["alice:", "alice", "alice:x", "bob:x", ":"] {
        assert_eq!(status(wrong.to_owned()), 401, "{wrong}");
    }
    assert_eq!(status(format!("Alice:{}", *password)), 401);
    assert_eq!(
        node.call("getblockcount", serde_json::json!([])),
        0,
        "the cookie still opens"
    );
}

#[test]
fn r02_pages_of_other_sites_are_turned_away() {
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
fn r02_other_methods_paths_and_types_are_refused() {
    let node = Node::new();
    let host = format!("Host: localhost\r\n{}", node.authorization());
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    for (first, kind, status) in [
        ("POST /", json, 200),
        ("GET /", json, 405),
        ("OPTIONS /", json, 405),
        ("POST /wallet/", json, 200),
        ("POST /wallets", json, 404),
        ("GET /openrpc.json", "", 200),
        ("POST /openrpc.json", json, 404),
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
fn r03_too_much_is_refused_while_it_comes() {
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

    // What comes after a body of the announced length is another request, and none.
    let lying = format!("{head}Content-Length: 2\r\n\r\n{BODY}");
    let answer = exchange(node.address, lying.as_bytes());
    assert_eq!(answer.status, 500, "two bytes are no JSON: {answer:?}");

    let long = format!("{head}X-Long: {}\r\n\r\n", "a".repeat(20_000));
    assert_eq!(exchange(node.address, long.as_bytes()).status, 431);
    let many = format!("{head}{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(exchange(node.address, many.as_bytes()).status, 431);

    // None of it did any harm.
    assert_eq!(node.call("getblockcount", serde_json::json!([])), 0);
}

/// Clients that go away at every byte of a request, all at once.
#[test]
fn r07_clients_that_hang_up_do_no_harm() {
    let node = Node::new();
    let whole = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        node.authorization(),
        BODY.len()
    );
    for end in 0..=whole.len() {
        let mut stream = TcpStream::connect(node.address).expect("the server listens");
        stream
            .write_all(&whole.as_bytes()[..end])
            .expect("a short write");
    }
    assert_eq!(node.call("getblockcount", serde_json::json!([])), 0);
}

/// A client that asks and then reads nothing of a long answer keeps nobody else waiting.
#[test]
fn r07_a_slow_reader_keeps_nobody_waiting() {
    let node = Node::new();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
    let body = format!("[{}]", vec![call; 30].join(","));
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        node.authorization(),
        body.len()
    );
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(node.address).expect("the server listens");
            stream.write_all(head.as_bytes()).expect("a short write");
            stream.write_all(body.as_bytes()).expect("a short write");
            stream
        })
        .collect();
    assert_eq!(node.call("getblockcount", serde_json::json!([])), 0);
    drop(slow);
}

/// Whoever waits for a block holds no place: more of them than there are places leave room for others.
#[test]
fn r07_waiting_calls_leave_room() {
    let node = Node::new();
    std::thread::scope(|scope| {
        let wait = || node.call("waitforblockheight", serde_json::json!([1, 120_000]));
        let waiting: Vec<_> = (0..40).map(|_| scope.spawn(wait)).collect();
        let all_wait = || {
            let info = node.call("getrpcinfo", serde_json::json!([]));
            let active = info["active_commands"].as_array().map_or(0, Vec::len);
            active > 40
        };
        let begun = Instant::now();
        while !all_wait() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "they keep each other out"
            );
        }
        node.chain.extend(1);
        for answer in waiting {
            let answer = answer.join().expect("it is answered");
            assert_eq!(answer["height"], serde_json::json!(1));
        }
    });
}

#[test]
fn r07_idle_connections_make_way() {
    let node = Node::new();
    let idle: Vec<_> = (0..1000)
        .filter_map(|_| TcpStream::connect(node.address).ok())
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(node.call("getblockcount", serde_json::json!([])), 0);
    drop(idle);
}

/// What the cookie and the users' hashes open is in no answer, whatever is asked.
#[test]
fn r13_no_answer_tells_a_secret() {
    let (user, password) = RpcUser::generate("alice").expect("randomness");
    let hash = user.to_string();
    let (_, hash) = hash.split_once('$').expect("its form");
    let debug = format!("{user:?}");
    let node = Node::with_users(vec![user]);
    let cookie = Cookie::read(node.folder.path()).expect("it was written at the start");
    let secret = cookie.split(':').nth(1).expect("user and secret");
    let mut told = vec![debug];
    for (_, methods) in by_category() {
        for method in methods {
            let waits = method.params.iter().any(|param| param.name == "timeout");
            if method.name == "stop" || waits {
                continue;
            }
            for params in [method.sample_params().join(","), String::new()] {
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"{}","params":[{params}]}}"#,
                    method.name
                );
                told.push(node.post(&body).body);
            }
        }
    }
    assert!(told.len() > 60);
    for text in told {
        for secret in [secret, hash, &password] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
