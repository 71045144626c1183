//! Ids of topics. A topic that was deleted and created again has the same name and another id, and its offsets start at 0.
//!
//! The crate rdkafka does not expose them, but the request of librdkafka (`rd_kafka_DescribeTopics`). Its contract is that of
//! rdkafka.h:
//!
//! - A client may be used from any thread. The request ends with an event on its queue, at the latest at its timeout.
//! - The names are copied. What an event points to lives as long as the event.
#![expect(unsafe_code, reason = "the Kafka client is a C library")]

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_request_timeout,
    rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy,
    rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_name,
    rd_kafka_TopicDescription_t, rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_least_significant_bits,
    rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t, rd_kafka_error_code,
    rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_event_error,
    rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll,
};
use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use uuid::Uuid;

/// The ids of the topics, in their order. Blocks for up to `timeout`.
///
/// # Errors
/// A topic that does not exist ([`RDKafkaErrorCode::UnknownTopicOrPartition`]) or that may not be described, brokers that do not
/// respond, or brokers without ids of topics ([`RDKafkaErrorCode::UnsupportedFeature`]; before Kafka 2.8).
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Uuid>, KafkaError> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let strings: Vec<CString> = topics.iter().map(|topic| CString::new(*topic)).collect::<Result<_, _>>()?;
    let mut names: Vec<_> = strings.iter().map(|name| name.as_ptr()).collect();
    let client = client.native_ptr();

    // SAFETY: the client outlives this function, `names` has as many strings as it says, and each pointer is destroyed once.
    let event = unsafe {
        let queue = Owned::new(rd_kafka_queue_new(client), rd_kafka_queue_destroy)?;
        let options =
            rd_kafka_AdminOptions_new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let options = Owned::new(options, rd_kafka_AdminOptions_destroy)?;
        check(rd_kafka_AdminOptions_set_request_timeout(options.as_ptr(), timeout_ms, ptr::null_mut(), 0))?;
        let collection = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let collection = Owned::new(collection, rd_kafka_TopicCollection_destroy)?;
        rd_kafka_DescribeTopics(client, collection.as_ptr(), options.as_ptr(), queue.as_ptr());
        // The request's own timeout ends the wait.
        Owned::new(rd_kafka_queue_poll(queue.as_ptr(), -1), rd_kafka_event_destroy)?
    };

    // SAFETY: the request's queue has events of this kind only, and the pointers are used while the event lives.
    let described: Vec<(&CStr, Result<Uuid, KafkaError>)> = unsafe {
        check(rd_kafka_event_error(event.as_ptr()))?;
        let result = rd_kafka_event_DescribeTopics_result(event.as_ptr());
        let mut count = 0;
        let descriptions = rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        (0..count)
            .map(|index| {
                let topic = *descriptions.add(index);
                (CStr::from_ptr(rd_kafka_TopicDescription_name(topic)), described_id(topic))
            })
            .collect()
    };
    let id_of = |topic: &&str| {
        let found = described.iter().find(|(name, _)| name.to_bytes() == topic.as_bytes());
        found
            .map_or(Err(KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition)), |(_, id)| id.clone())
    };
    topics.iter().map(id_of).collect()
}

/// # Safety
/// `topic` is a description whose event lives.
unsafe fn described_id(topic: *const rd_kafka_TopicDescription_t) -> Result<Uuid, KafkaError> {
    // SAFETY: as above; the id is a part of the description. A missing error has the code 0.
    unsafe {
        check(rd_kafka_error_code(rd_kafka_TopicDescription_error(topic)))?;
        let id = rd_kafka_TopicDescription_topic_id(topic);
        let most = rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
        let id = Uuid::from_u64_pair(most, rd_kafka_Uuid_least_significant_bits(id).cast_unsigned());
        if id.is_nil() { Err(KafkaError::AdminOp(RDKafkaErrorCode::UnsupportedFeature)) } else { Ok(id) }
    }
}

fn check(code: RDKafkaRespErr) -> Result<(), KafkaError> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::AdminOp(code.into())),
    }
}

/// A pointer with the function that destroys what it points to.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    /// `destroy` may be called once with `pointer`, unless it is null.
    unsafe fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, KafkaError> {
        let pointer =
            NonNull::new(pointer).ok_or_else(|| KafkaError::AdminOpCreation("no memory".to_owned()))?;
        Ok(Self { pointer, destroy })
    }

    fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the caller of `new` said so.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}
