//! ottla from outside: a module per promise, through the public API alone; `tidy` reads the source tree itself.

mod crash;
mod rot;
mod tidy;
