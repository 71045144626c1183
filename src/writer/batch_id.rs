//! Ids of batches: UUIDs of version 7, which grow with time. Their last 32 bits tell which server has sealed the batch.

use uuid::Uuid;

/// What the ids of a server's batches have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerNumber(u32);

impl ServerNumber {
    /// The number of a data folder with this id.
    pub(crate) fn of(server_id: &str) -> Self {
        Self(crc32c::crc32c(server_id.as_bytes()))
    }

    /// The id of a new batch. It is higher than all earlier ones of this process, even if the clock was set back.
    pub(super) fn new_batch_id(self) -> Uuid {
        // Its context is shared by all threads, and ignores a clock that goes back. The bits before the last 32 are its counter.
        let id = Uuid::now_v7().as_u128();
        Uuid::from_u128(id & !u128::from(u32::MAX) | u128::from(self.0))
    }

    /// The last 32 bits of the ids.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_and_end_with_the_number_of_their_server() {
        let server = ServerNumber::of("01890a5d-ac96-474b-bcce-b302099a8057");
        let ids: Vec<Uuid> = (0..10_000).map(|_| server.new_batch_id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.as_u128() as u32 == server.number() && id.get_version_num() == 7));
    }
}
