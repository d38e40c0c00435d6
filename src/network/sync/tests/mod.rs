//! Whole runs of the machine against simulated peers, in virtual time.

mod cases;
mod low_work;
mod node;
mod peer;
mod simulation;
