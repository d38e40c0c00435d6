//! The real program, driven as people drive it: the walk-through of the original with and without a node, what a running
//! node's folder allows, and every kind of bad input.

mod bad_input;
mod mending;
mod running;
mod support;
mod walk_through;
