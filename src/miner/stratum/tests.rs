//! The state of a connection, against a miner written a second time (`rig`).

mod rig;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::rig::{MINER, NODE, Rig, Share, parent, work_on};
use super::difficulty::Difficulty;
use super::limits::{IDLE_TIME, MAX_JOBS, MAX_NAMES, MAX_REFUSALS, UNAUTHORIZED_TIME};
use super::session::{Event, Reaction};
use crate::consensus::{ChainSpec, ParentContext, check_block_in_isolation};
use crate::keys::Address;
use crate::primitives::{Block, BlockHash, CompactTarget, Script};

fn block_of(reaction: &mut Reaction) -> Block {
    reaction.block.take().expect("a block").block
}

#[test]
fn a_share_that_meets_the_target_is_the_block_that_its_miner_meant() {
    let spec = ChainSpec::regtest();
    let mut rig = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    let name = format!("{}.shed", Address::new(MINER, spec.address_version));
    rig.join(&name);
    assert!(rig.job().clean);
    let share = rig.good();
    let expected = rig.job().hash(&rig.extra_nonce, &share);
    let answer = rig.send_to(&name, &rig.job().id, share);
    assert_eq!(answer["result"], true);
    let (who, event) = rig.last.event.take().expect("an event");
    assert!(matches!(event, Event::Accepted { .. }) && *who == *name);
    let block = block_of(&mut rig.last);
    assert_eq!(block.hash().to_bytes(), expected);
    assert_eq!(
        block.transactions[0].outputs[0].script_pubkey,
        Script::p2pkh(&MINER)
    );
    check_block_in_isolation(&spec, Arc::new(block)).expect("it obeys the rules");
}

#[test]
fn a_name_that_is_no_address_mines_for_the_node() {
    let mut rig = Rig::mining();
    let share = rig.good();
    rig.send(share);
    let block = block_of(&mut rig.last);
    let paid = &block.transactions[0].outputs[0].script_pubkey;
    assert_eq!(*paid, Script::p2pkh(&NODE));
}

#[test]
fn steps_out_of_order_are_refused_by_their_numbers() {
    let spec = ChainSpec::regtest();
    let mut rig = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    let share = Share {
        extra_nonce2: 0,
        time: 0,
        nonce: 0,
        version_bits: 0,
    };
    let code = |answer: &Value| answer["error"][0].as_u64();
    assert_eq!(code(&rig.send_to("worker", "0", share)), Some(25));
    rig.ok("mining.authorize", json!(["worker", ""]));
    assert_eq!(code(&rig.send_to("worker", "0", share)), Some(25));
    assert!(rig.jobs.is_empty());
    rig.ok("mining.subscribe", json!([]));
    assert_eq!(rig.jobs.len(), 1);
    assert_eq!(code(&rig.send_to("another", "0", share)), Some(24));
    let mut other = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    other.ok("mining.subscribe", json!([]));
    assert_eq!(code(&other.send_to("worker", "0", share)), Some(24));
    assert!(other.jobs.is_empty());
    let foreign = Address::new(MINER, 0).to_string();
    let refused = other.ask("mining.authorize", json!([foreign, "x"]));
    assert_eq!(code(&refused), Some(24));
    assert!(refused["error"][1].to_string().contains("another network"));
}

#[test]
fn shares_are_refused_as_duplicate_stale_and_low() {
    let mut rig = Rig::mining();
    let share = rig.good();
    assert_eq!(rig.code(share), 0);
    assert_eq!(rig.code(share), 22);
    assert!(matches!(rig.last.event, Some((_, Event::Rejected))));
    let low = rig.find(|hash| hash.to_bytes()[31] > 0x7f);
    assert_eq!(rig.code(low), 23);
    assert_eq!(rig.send_to("worker", "99", share)["error"][0], 21);
    assert_eq!(rig.send_to("worker", "no number", share)["error"][0], 21);

    let spec = ChainSpec::regtest();
    let next = ParentContext {
        hash: BlockHash::from_bytes([9; 32]),
        height: 1,
        ..parent(&spec)
    };
    let old = rig.job().id;
    let reaction = rig.session.on_work(work_on(&spec, next, true));
    rig.learn(reaction);
    assert!(rig.job().clean && rig.job().id != old);
    assert_eq!(rig.send_to("worker", &old, share)["error"][0], 21);
    assert!(matches!(rig.last.event, Some((_, Event::Stale))));
    assert_eq!(rig.code(rig.good()), 0);
}

#[test]
fn older_jobs_of_the_same_tip_stay_good_up_to_a_number() {
    let spec = ChainSpec::regtest();
    let mut rig = Rig::mining();
    let (first, share) = (rig.job().id, rig.good());
    for _ in 1..MAX_JOBS {
        let reaction = rig.session.on_work(work_on(&spec, parent(&spec), false));
        rig.learn(reaction);
        assert!(!rig.job().clean);
    }
    assert_eq!(rig.send_to("worker", &first, share)["result"], true);
    let reaction = rig.session.on_work(work_on(&spec, parent(&spec), false));
    rig.learn(reaction);
    assert_eq!(rig.send_to("worker", &first, share)["error"][0], 21);
}

#[test]
fn only_the_agreed_bits_of_the_version_are_rolled() {
    let mut rig = Rig::mining();
    let rolled = Share {
        version_bits: 0x0000_2000,
        ..rig.good()
    };
    assert_eq!(rig.code(rolled), 20, "it was not agreed on");
    let asked = json!([["version-rolling"], { "version-rolling.mask": "1fffffff" }]);
    let agreed = rig.ok("mining.configure", asked);
    assert_eq!(agreed["version-rolling"], true);
    assert_eq!(agreed["version-rolling.mask"], "1fffe000");
    let outside = Share {
        version_bits: 1,
        ..rolled
    };
    assert_eq!(rig.code(outside), 20);
    let job = rig.job();
    let good = (0..1000)
        .map(|nonce| Share { nonce, ..rolled })
        .find(|share| job.hash(&rig.extra_nonce, share)[31] < 0x7f)
        .expect("half of them are good");
    assert_eq!(rig.code(good), 0);
    assert_eq!(block_of(&mut rig.last).header.version, 0x2000_2000);
}

// The target follows the time where a network has a stall rule: a time that asks for another is refused.
#[test]
fn the_time_is_rolled_within_what_the_target_holds_for() {
    let spec = ChainSpec::dev();
    let hard = ParentContext {
        base: CompactTarget(0x1d00_ffff),
        ..parent(&spec)
    };
    let mut rig = Rig::new(&work_on(&spec, hard, true), &spec);
    rig.join("worker");
    let genesis = spec.genesis.time;
    let mut at = |time: u32, unix: u32| {
        rig.now.unix = unix.into();
        let share = Share {
            extra_nonce2: 0,
            time,
            nonce: 0,
            version_bits: 0,
        };
        rig.code(share)
    };
    // 23: the time is fine, and only the hash is not.
    assert_eq!(at(genesis + 1, genesis + 10), 23);
    assert_eq!(at(genesis, genesis + 10), 20, "the median");
    assert_eq!(at(genesis + 70, genesis + 10), 23, "the drift");
    assert_eq!(at(genesis + 71, genesis + 10), 20);
    assert_eq!(at(genesis + 129, genesis + 130), 23);
    assert_eq!(at(genesis + 130, genesis + 130), 20, "an easier target");
}

#[test]
fn difficulty_comes_before_the_job_it_holds_for_and_never_exceeds_the_block() {
    let spec = ChainSpec {
        pow_limit: CompactTarget(0x1d00_ffff),
        ..ChainSpec::dev()
    };
    let hard = ParentContext {
        base: CompactTarget(0x1b00_ffff),
        ..parent(&spec)
    };
    let mut rig = Rig::new(&work_on(&spec, hard, true), &spec);
    rig.join("worker");
    assert_eq!(rig.difficulty, Some(Difficulty::START.value()));
    let lines = rig.last.lines.clone();
    assert!(lines[0].contains("\"result\":true") && lines[1].contains("set_difficulty"));
    assert!(lines[2].contains("mining.notify"));
    rig.ok("mining.suggest_difficulty", json!([100]));
    assert_eq!((rig.difficulty, rig.jobs.len()), (Some(100.0), 2));
    assert!(rig.last.lines[1].contains("[100]"), "a whole number");
    rig.ok(
        "mining.suggest_target",
        json!(["00000000ffff".to_owned() + &"00".repeat(26)]),
    );
    assert_eq!(rig.difficulty, Some(1.0));
    rig.ok("mining.suggest_difficulty", json!([1e12]));
    assert_eq!(
        rig.difficulty,
        Some(65535.0),
        "just below the block's 65536"
    );
    let floor = json!([["minimum-difficulty"], { "minimum-difficulty.value": 70000 }]);
    rig.ok("mining.configure", floor);
    assert_eq!(
        rig.difficulty,
        Some(70000.0),
        "hardware that can do no less"
    );
    let mut other = Rig::new(&work_on(&spec, hard, true), &spec);
    other.ok("mining.subscribe", json!([]));
    other.ok("mining.authorize", json!(["worker", "x,d=2.5"]));
    assert_eq!(other.difficulty, Some(2.0));
    other.ok("mining.suggest_difficulty", json!([1]));
    assert_eq!(other.difficulty, Some(2.0), "the password decides");
    // Nothing comes for minutes: the server eases, but not for one that chose.
    let mut eased = Rig::new(&work_on(&spec, hard, true), &spec);
    eased.join("worker");
    eased.pass(Duration::from_secs(61));
    assert_eq!(eased.difficulty, Some(Difficulty::START.value() / 4.0));
    assert_eq!(eased.jobs.len(), 2);
    other.pass(Duration::from_secs(61));
    assert_eq!(other.difficulty, Some(2.0));
}

#[test]
fn a_proxy_has_many_workers_of_one_address() {
    let mut rig = Rig::mining();
    for number in 1..MAX_NAMES {
        rig.ok("mining.authorize", json!([format!("w{number}"), "x"]));
    }
    rig.ok("mining.authorize", json!(["w1", "x"]));
    let more = rig.ask("mining.authorize", json!(["one more", "x"]));
    assert_eq!(more["error"][0], 24);
    let address = Address::new(MINER, ChainSpec::regtest().address_version);
    let other = rig.ask("mining.authorize", json!([address.to_string(), "x"]));
    assert!(other["error"][1].to_string().contains("another address"));
    let share = rig.good();
    assert_eq!(rig.send_to("w3", &rig.job().id, share)["result"], true);
    assert_eq!(rig.session.names().len(), MAX_NAMES);
}

#[test]
fn connections_that_do_nothing_or_nothing_right_are_closed() {
    let spec = ChainSpec::regtest();
    let late = UNAUTHORIZED_TIME + Duration::from_secs(1);
    let mut silent = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    assert_eq!(silent.pass(UNAUTHORIZED_TIME), None);
    assert!(silent.pass(Duration::from_secs(1)).is_some());
    let mut half = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    half.ok("mining.subscribe", json!([]));
    assert!(half.pass(late).is_some());
    let mut idle = Rig::mining();
    assert_eq!(idle.pass(late), None);
    assert!(idle.pass(IDLE_TIME).is_some());
    let mut wrong = Rig::mining();
    let (good, low) = (wrong.good(), wrong.find(|hash| hash.to_bytes()[31] > 0x80));
    for round in 1..2 * MAX_REFUSALS - 1 {
        assert_eq!(wrong.code(low), 23);
        wrong.send_to("worker", "ff", low);
        assert_eq!(wrong.last.close, None, "late ones do not count");
        if round == MAX_REFUSALS - 1 {
            assert_eq!(wrong.code(good), 0, "one good share forgives");
        }
    }
    wrong.code(low);
    assert!(wrong.last.close.is_some());
}

#[test]
fn small_questions_are_answered() {
    let mut rig = Rig::mining();
    assert_eq!(rig.ok("mining.extranonce.subscribe", json!([])), true);
    assert_eq!(rig.ok("mining.ping", json!([])), "pong");
    let version = rig.ok("mining.get_version", json!([]));
    assert!(version.as_str().expect("a text").starts_with("Quarry/"));
    let unknown = rig.ask("mining.get_transactions", json!([]));
    assert_eq!(unknown["error"][0], 20);
}
