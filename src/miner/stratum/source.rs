//! The work that all connections share: a new block for a new tip, new fees, and a new time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::jobs::Work;
use crate::chain::{ChainHandle, Clock, EventReader};
use crate::mempool::MempoolHandle;
use crate::miner::template::{Template, TemplateError, build_template};
use crate::primitives::{BlockHash, PubkeyHash};

/// How often mempool and clock are looked at.
const REFRESH: Duration = Duration::from_secs(1);
/// How long miners keep their work when only the fees have changed: a job costs a line to each of them.
const FEES_WAIT: Duration = Duration::from_secs(10);
/// How long they keep it when nothing but the time has.
const TIME_WAIT: Duration = Duration::from_secs(30);

/// Builds work until it is told to end.
pub(super) struct Source {
    pub(super) chain: ChainHandle,
    pub(super) mempool: MempoolHandle,
    pub(super) clock: Clock,
    /// Whether there is to be work: not while the node catches up.
    pub(super) enabled: watch::Receiver<bool>,
    /// Tips on which a block with transactions of the mempool was refused.
    pub(super) refused: mpsc::Receiver<BlockHash>,
    pub(super) work: watch::Sender<Option<Arc<Work>>>,
}

/// What the work was made of.
struct Posted {
    work: Arc<Work>,
    at: Instant,
}

impl Source {
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut events = self.chain.subscribe();
        let mut mempool_changed = self.mempool.changed();
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut posted: Option<Posted> = None;
        // The tip on which the mempool is not to be trusted: a bug, but no reason to stand still.
        let mut distrusted = None;
        loop {
            let mut is_tick = false;
            tokio::select! {
                () = cancel.cancelled() => return,
                () = next_event(&mut events) => {}
                Some(tip) = self.refused.recv() => {
                    distrusted = Some(tip);
                    posted = None;
                }
                changed = self.enabled.changed() => if changed.is_err() {
                    return;
                },
                _ = ticks.tick() => is_tick = true,
            }
            if !*self.enabled.borrow() {
                continue;
            }
            let tip = self.chain.reader().tip().hash;
            let current = posted
                .as_ref()
                .filter(|posted| posted.work.template.parent() == tip);
            let mempool = (distrusted != Some(tip)).then_some(&self.mempool);
            let next = match current {
                None => {
                    mempool_changed.mark_unchanged();
                    self.build(mempool, true).await
                }
                Some(current) if is_tick => {
                    let fees = current.at.elapsed() >= FEES_WAIT
                        && mempool_changed.has_changed().unwrap_or(false);
                    match fees {
                        true => {
                            mempool_changed.mark_unchanged();
                            self.build(mempool, false).await
                        }
                        false => self.renew(current),
                    }
                }
                Some(_) => continue,
            };
            match next {
                Ok(Some(work)) => {
                    let work = Arc::new(work);
                    posted = Some(Posted {
                        work: Arc::clone(&work),
                        at: Instant::now(),
                    });
                    self.work.send_replace(Some(work));
                }
                Ok(None) => {}
                Err(TemplateError::MempoolStopped) => posted = None,
                Err(error) => {
                    tracing::warn!(%error, "no work for external miners");
                    posted = None;
                }
            }
        }
    }

    async fn build(
        &self,
        mempool: Option<&MempoolHandle>,
        urgent: bool,
    ) -> Result<Option<Work>, TemplateError> {
        let reader = self.chain.reader();
        // Each connection has a coinbase of its own; this payout is never used.
        let payout = PubkeyHash::ZERO;
        let template = build_template(reader, mempool, payout, (self.clock)()).await?;
        Ok(Some(Work { template, urgent }))
    }

    /// The same work at the time now, where that makes a difference.
    fn renew(&self, current: &Posted) -> Result<Option<Work>, TemplateError> {
        let spec = self.chain.reader().spec();
        let template: &Template = &current.work.template;
        let now = (self.clock)();
        let is_easier = now > u64::from(*template.times(spec).end());
        if !is_easier && current.at.elapsed() < TIME_WAIT {
            return Ok(None);
        }
        let template = template.at_time(spec, now)?;
        let urgent = is_easier;
        Ok(Some(Work { template, urgent }))
    }
}

/// Waits until something happens in the node, and forgets what: whatever it is, or however much was missed, the reader knows
/// the tip.
async fn next_event(events: &mut EventReader) {
    let _ = events.next().await;
    while events.try_next().is_some() {}
}
