//! The explorer on a loopback socket, over a chain in a temporary folder.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ExplorerConfig, ExplorerContext, serve};
use crate::chain::system_clock;
use crate::chain::testing::{TestChain, coinbase_coin, key_hash, pay};
use crate::http::testing::{Answer, exchange, get};
use crate::keys::Address;
use crate::mempool::{self, MempoolHandle, MempoolTask, Policy, TxSource};
use crate::primitives::{COIN, Script};

struct Site {
    chain: TestChain,
    mempool: MempoolHandle,
    address: SocketAddr,
    stop: CancellationToken,
    runtime: Runtime,
    task: Option<MempoolTask>,
    server: Option<JoinHandle<()>>,
}

impl Site {
    fn new() -> Self {
        let chain = TestChain::new();
        let runtime = Runtime::new().expect("a runtime");
        let (mempool, task) =
            mempool::spawn(chain.handle().clone(), Policy::default(), system_clock())
                .expect("a thread");
        let stop = CancellationToken::new();
        let context = ExplorerContext {
            chain: chain.handle().clone(),
            mempool: mempool.clone(),
            miner: None,
            stratum: None,
            network: None,
            started: Instant::now(),
        };
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = {
            let _inside = runtime.enter();
            serve(listener, context, ExplorerConfig::default(), stop.clone())
        };
        Self {
            chain,
            mempool,
            address,
            stop,
            runtime,
            task: Some(task),
            server: Some(server),
        }
    }

    /// A page that must be there, with all security headers.
    fn page(&self, path: &str) -> String {
        let answer = get(self.address, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_safe(&answer);
        answer.body
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            let _ = self.runtime.block_on(server);
        }
        self.mempool.stop_blocking();
        if let Some(task) = self.task.take() {
            let _ = task.join();
        }
    }
}

fn assert_safe(answer: &Answer) {
    for part in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
    ] {
        assert!(answer.head.contains(part), "{part}: {}", answer.head);
    }
    assert!(!answer.head.contains("unsafe-inline"));
}

/// ```text
/// 0 - 1 - 2 - 3      3 pays a transaction
///       \ 2'
/// ```
#[test]
fn every_page_shows_what_it_should() {
    let site = Site::new();
    let blocks = site.chain.extend(2);
    let tx = pay(
        1,
        &[coinbase_coin(&blocks[0])],
        &[(2, 20 * COIN), (1, 30 * COIN)],
    );
    let third = site.chain.block_on(blocks[1].hash(), vec![tx.clone()], 0);
    site.chain.submit(&third).expect("a valid block");
    let side = site.chain.block_on(blocks[0].hash(), Vec::new(), 9);
    site.chain.submit(&side).expect("a valid block");
    let waiting = pay(
        2,
        &[crate::primitives::OutPoint {
            txid: tx.txid(),
            vout: 0,
        }],
        &[(3, 19 * COIN)],
    );
    site.mempool
        .submit_blocking(waiting.clone(), TxSource::Local)
        .expect("a valid transaction");

    let home = site.page("/");
    for part in [
        third.hash().to_string(),
        side.hash().to_string(),
        waiting.txid().to_string(),
        "(side branch)".into(),
    ] {
        assert!(home.contains(&part), "{part}");
    }
    assert_eq!(home.matches("<circle").count(), 5);
    let block = site.page("/block/3");
    assert_eq!(block, site.page(&format!("/block/{}", third.hash())));
    assert!(block.contains(&tx.txid().to_string()));
    assert!(
        site.page(&format!("/block/{}", side.hash()))
            .contains("on a side branch")
    );
    let shown = site.page(&format!("/tx/{}", tx.txid()));
    assert!(shown.contains("1 confirmations") && shown.contains(">50<") && shown.contains(">20<"));
    let address = Address::new(key_hash(2), 0x6f);
    assert!(shown.contains(&address.to_string()));
    let fee = site.page(&format!("/tx/{}", waiting.txid()));
    assert!(fee.contains("waits in the mempool") && fee.contains("<dt>Fee</dt><dd>1</dd>"));
    let owner = site.page(&format!("/address/{address}"));
    assert!(
        owner.contains("20 in 1 coins")
            && owner.contains("On the way out")
            && owner.contains(&tx.txid().to_string())
    );
    site.page("/style.css");
    site.page("/live.js");

    for (query, place) in [
        ("3", "/block/3".to_owned()),
        (
            &third.hash().to_string(),
            format!("/block/{}", third.hash()),
        ),
        (&tx.txid().to_string(), format!("/tx/{}", tx.txid())),
        (
            &address.to_string(),
            format!("/address/{address}").to_ascii_lowercase(),
        ),
    ] {
        let answer = get(site.address, &format!("/search?q={query}"));
        assert!(
            answer.status == 303 && answer.head.contains(&format!("location: {place}")),
            "{answer:?}"
        );
    }
}

#[test]
fn r09_what_is_not_there_gets_a_sentence() {
    let site = Site::new();
    for (path, status) in [
        ("/block/1", 404),
        ("/block/-1", 400),
        ("/block/99999999999", 400),
        ("/block/zz", 400),
        ("/block/%ff", 400),
        ("/block/%3Cscript%3E", 400),
        ("/block/..%2f..%2fetc%2fpasswd", 400),
        ("/block/0?page=2", 404),
        ("/block/0?page=0", 404),
        ("/block/0?page=x", 400),
        ("/../../etc/passwd", 404),
        ("/tx/zz", 400),
        (&format!("/tx/{}", "00".repeat(32)), 404),
        ("/address/1111", 400),
        ("/search?q=%22onload%3D", 400),
        ("/nothing", 404),
    ] {
        let answer = get(site.address, path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_safe(&answer);
        assert!(
            !answer.body.contains("<script>") && !answer.body.contains("\"onload="),
            "{path}"
        );
    }
    let post = exchange(
        site.address,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(post.status, 405);
    let rebound = exchange(
        site.address,
        b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(rebound.status, 403);
}

/// A miner may write anything into a coinbase; on a page it is text.
#[test]
fn r08_hostile_coinbase_text_is_inert() {
    let site = Site::new();
    let hostile = "</script><script>alert(1)</script>\"onload=\u{202e}\0";
    let parent = site.chain.reader().tip().hash;
    let block = site.chain.block_with(parent, Vec::new(), 0, |block| {
        let input = &mut block.transactions[0].inputs[0];
        let script = [
            input.script_sig.as_bytes(),
            hostile.as_bytes(),
            &[0xff, 0xfe],
        ]
        .concat();
        input.script_sig = Script::from(script);
    });
    site.chain.submit(&block).expect("a valid block");
    let coinbase = block.transactions[0].txid();
    for path in [
        "/".to_owned(),
        "/block/1".to_owned(),
        format!("/tx/{coinbase}"),
    ] {
        let page = site.page(&path);
        assert!(!page.contains("<script>"), "{path}");
        assert!(!page.contains("\"onload="), "{path}");
        assert!(!page.contains('\u{202e}') && !page.contains('\0'), "{path}");
    }
    assert!(site.page("/block/1").contains("&lt;script&gt;"));
}

#[test]
fn machines_get_what_they_ask_for() {
    let site = Site::new();
    site.chain.extend(2);
    assert_eq!(site.page("/healthy"), "healthy\n");
    assert_eq!(site.page("/ready"), "ready\n");
    let metrics = site.page("/metrics");
    for line in [
        "quarry_chain_height 2",
        "quarry_mempool_transactions 0",
        "quarry_chain_reorgs_total 0",
        "quarry_ready 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let number = line.split_once(' ').map(|(_, value)| value.parse::<f64>());
        assert!(matches!(number, Some(Ok(_))), "{line}");
    }
}

/// Reads messages until one of this event.
fn follow(site: &Site, path: &str, headers: &str, until: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(site.address).expect("the server listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout above 0");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes())
        .expect("the server reads");
    let mut lines = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.expect("the event comes in time");
        let is_last = line == format!("event: {until}");
        lines.push(line);
        if is_last {
            break;
        }
    }
    lines
}

#[test]
fn events_are_numbered_and_can_be_resumed() {
    let site = Site::new();
    let first = site.chain.extend(1)[0].hash().to_string();
    let second = site.chain.extend(1)[0].hash().to_string();
    let all = follow(&site, "/events?from=0", "", "tip");
    assert!(all.iter().any(|line| line.contains("text/event-stream")));
    let ids = |lines: &[String]| -> Vec<(String, u64)> {
        let ids = lines.iter().filter_map(|line| line.strip_prefix("id: "));
        ids.map(|id| {
            let (run, number) = id.split_once('-').expect("run and number");
            (run.to_owned(), number.parse().expect("a number"))
        })
        .collect()
    };
    let all_ids = ids(&all);
    assert!(all_ids[0].1 == 0 && all.iter().any(|line| line.contains(&first)));
    let (run, last) = all_ids.last().expect("two events at least").clone();
    let resume = |id: &str, until: &str| {
        follow(&site, "/events", &format!("Last-Event-ID: {id}\r\n"), until)
    };
    let rest = resume(&format!("{run}-{last}"), "tip");
    assert!(
        rest.iter().any(|line| line.contains(&second))
            && !rest.iter().any(|line| line.contains(&first))
    );
    assert!(ids(&rest).iter().all(|(other, _)| *other == run));
    let asked = follow(&site, &format!("/events?from={run}-0"), "", "tip");
    assert_eq!(ids(&asked)[0], (run.clone(), 0));
    // Numbers that do not exist yet, and those of another run of the node, even if they do.
    assert!(resume(&format!("{run}-999999"), "gap").len() > 1);
    assert!(resume("0123456789abcdef-0", "gap").len() > 1);
    assert!(follow(&site, "/events?from=0123456789abcdef-0", "", "gap").len() > 1);
    assert_eq!(get(site.address, "/events?from=x").status, 400);
}

/// More than there are connections: some follow the events, the others were refused that and idle.
#[test]
fn followers_and_idle_connections_leave_room_for_health_checks() {
    let site = Site::new();
    let open = |_| {
        let mut stream = TcpStream::connect(site.address).expect("the server listens");
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("the server reads");
        let mut first = [0; 1];
        let _ = stream.peek(&mut first).expect("it answers");
        stream
    };
    let streams: Vec<_> = (0..300).map(open).collect();
    assert_eq!(get(site.address, "/healthy").status, 200);
    drop(streams);
}
