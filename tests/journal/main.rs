//! The journal on real files: its API, a model test with random crashes and damage, and a full disk.

#[cfg(test)]
mod api;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod model;
