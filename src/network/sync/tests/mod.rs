//! Whole runs of the machine against simulated peers, in virtual time.

mod cases;
mod node;
mod simulation;
