//! The journal on real files: as its callers see it, under random crashes and damage, and on a full disk.

#[cfg(test)]
mod api;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod model;
