//! Blocking work from async code.

/// Runs `work` on tokio's blocking pool and returns its output. A panic in `work` continues in the caller.
///
/// Work that has started cannot be cancelled: when the returned future is dropped, the work still runs to its end.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(output) => output,
        // Nothing aborts the task, so that a panic is the only error.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "out of ideas")]
    async fn a_panic_continues_in_the_caller() {
        run_blocking(|| panic!("out of ideas")).await
    }
}
