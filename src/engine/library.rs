//! The binding of the engine library. Besides `kafka/topic_id.rs` the only file of the crate with unsafe code.
//!
//! libchdb is ClickHouse as a shared library. It is loaded at run time, so a build does not need it, and a server with
//! CLICKHOUSE_URL does not load it. The contract is that of its header, chdb.h:
//!
//! - A process has one data folder, with any number of connections. A connection runs one statement at a time.
//! - Handles may be used from any thread.
//! - The process must close all connections and call `chdb_shutdown` before it exits. Otherwise it crashes with SIGSEGV.
#![expect(unsafe_code, reason = "the engine is a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libloading::Symbol;

/// Why the library cannot be used, or a statement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LibraryError {
    /// The file does not exist.
    #[error(
        "the engine library {} does not exist; download it with `make engine`, or set MILLRACE_ENGINE_LIB",
        path.display()
    )]
    Missing {
        /// Path of the library.
        path: PathBuf,
    },
    /// The file is not a library for this machine, or lacks a function.
    #[error(
        "the engine library {} cannot be loaded: {reason}; download the right version with `make engine`",
        path.display()
    )]
    LoadFailed {
        /// Path of the library.
        path: PathBuf,
        /// Error of the dynamic loader.
        reason: libloading::Error,
    },
    /// The engine does not start on the data folder.
    #[error(
        "the engine cannot open {}; another engine may hold the folder, or the folder is not writable",
        data_dir.display()
    )]
    ConnectFailed {
        /// The data folder.
        data_dir: PathBuf,
    },
    /// ClickHouse's exception.
    #[error("{text}")]
    Exception {
        /// ClickHouse's error code; 1002 (UNKNOWN_EXCEPTION) if the text has none.
        code: i32,
        /// Code, message and name: "Code: 60. DB::Exception: … (UNKNOWN_TABLE)".
        text: String,
    },
    /// The library returned a null result.
    #[error("the engine returned no result")]
    NoResult,
    /// The library refused a piece of data without an exception.
    #[error("the engine rejected the data of an INSERT without a reason")]
    DataRejected,
}

impl LibraryError {
    /// The library reports exceptions as text only. This is the one place that parses the code.
    pub(super) fn exception(text: String) -> Self {
        let code = text.split_once("Code: ").and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
        Self::Exception { code: code.unwrap_or(1002), text }
    }
}

#[repr(C)]
struct RawConnection {
    _opaque: *mut c_void,
}
#[repr(C)]
struct RawResult {
    _opaque: *mut c_void,
}
#[repr(C)]
struct RawInsert {
    _opaque: *mut c_void,
}

/// `chdb_connection`, itself a pointer.
type ConnectionRef = *mut RawConnection;
type InsertRef = *mut RawInsert;
type StringArray = *const *const c_char;
type LengthArray = *const usize;
type StatementFn<T> = unsafe extern "C" fn(
    ConnectionRef,
    *const c_char,
    usize,
    *const c_char,
    usize,
    StringArray,
    LengthArray,
    StringArray,
    LengthArray,
    usize,
) -> T;
type ResultStringFn = unsafe extern "C" fn(*mut RawResult) -> *const c_char;
type ResultCounterFn = unsafe extern "C" fn(*mut RawResult) -> u64;

/// The functions of the library that Millrace calls, with the types of chdb.h.
struct Functions {
    connect: unsafe extern "C" fn(c_int, *const *const c_char) -> *mut ConnectionRef,
    close: unsafe extern "C" fn(*mut ConnectionRef),
    stream_query: StatementFn<*mut RawResult>,
    stream_fetch: unsafe extern "C" fn(ConnectionRef, *mut RawResult) -> *mut RawResult,
    stream_cancel: unsafe extern "C" fn(ConnectionRef, *mut RawResult),
    query: StatementFn<*mut RawResult>,
    insert: StatementFn<InsertRef>,
    insert_append: unsafe extern "C" fn(InsertRef, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(InsertRef) -> *mut RawResult,
    insert_cancel: unsafe extern "C" fn(InsertRef),
    insert_error: unsafe extern "C" fn(InsertRef) -> *const c_char,
    insert_destroy: unsafe extern "C" fn(InsertRef),
    result_destroy: unsafe extern "C" fn(*mut RawResult),
    result_buffer: ResultStringFn,
    result_length: unsafe extern "C" fn(*mut RawResult) -> usize,
    result_error: ResultStringFn,
    storage_rows_read: ResultCounterFn,
    storage_bytes_read: ResultCounterFn,
    rows_read: ResultCounterFn,
    rows_written: ResultCounterFn,
    bytes_written: ResultCounterFn,
    shutdown: unsafe extern "C" fn(),
}

/// The loaded library. Each connection keeps a reference to it.
pub(crate) struct Library {
    functions: Functions,
    /// Number of open connections.
    connections: AtomicUsize,
    /// Never unloaded, since threads that ran statements have thread-local destructors in it until they end.
    _library: ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Loads the library and disables its signal handlers. Does not start the engine.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, LibraryError> {
        if !path.is_file() {
            return Err(LibraryError::Missing { path: path.to_owned() });
        }
        let load_failed = |reason| LibraryError::LoadFailed { path: path.to_owned(), reason };
        // SAFETY: loading runs the initialisers of the library, which the operator has chosen.
        let library = unsafe { libloading::Library::new(path) }.map_err(load_failed)?;
        // SAFETY: names and types are those of chdb.h in this version of the library, see `Functions`.
        let functions = unsafe { Functions::bind(&library) }.map_err(load_failed)?;
        // SAFETY: as above. Called before the first connection, as the header requires. The library's handlers of fatal
        // signals would keep a crashed process alive for minutes.
        unsafe {
            let set: Symbol<'_, unsafe extern "C" fn(c_int)> =
                library.get(b"chdb_set_signal_handlers_enabled").map_err(load_failed)?;
            set(0);
        }
        let library = ManuallyDrop::new(library);
        Ok(Arc::new(Self { functions, connections: AtomicUsize::new(0), _library: library }))
    }

    /// Opens a connection to the data folder. The first one starts the engine, with `extra_arguments`.
    pub(crate) fn connect(
        self: &Arc<Self>,
        data_dir: &Path,
        extra_arguments: &[String],
    ) -> Result<Connection, LibraryError> {
        let connect_failed = || LibraryError::ConnectFailed { data_dir: data_dir.to_owned() };
        let mut arguments = vec!["clickhouse".to_owned(), format!("--path={}", data_dir.display())];
        arguments.extend_from_slice(extra_arguments);
        let arguments: Vec<CString> = arguments
            .into_iter()
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(|_| connect_failed())?;
        let pointers: Vec<*const c_char> = arguments.iter().map(|text| text.as_ptr()).collect();
        // SAFETY: `pointers` has this many pointers to NUL-terminated strings, which live for the call.
        let handle = unsafe { (self.functions.connect)(pointers.len() as c_int, pointers.as_ptr()) };
        let handle = NonNull::new(handle).ok_or_else(connect_failed)?;
        self.connections.fetch_add(1, Relaxed);
        Ok(Connection { library: Arc::clone(self), handle, mark: None })
    }

    /// Stops the engine. Without it, the process crashes at exit. Does nothing while a connection is open.
    pub(crate) fn shutdown(&self) {
        let connections = self.connections.load(Relaxed);
        if connections > 0 {
            tracing::warn!(connections, "engine not stopped: connections are open");
            return;
        }
        // SAFETY: no connection is open, which is the only condition of the header.
        unsafe { (self.functions.shutdown)() }
    }
}

impl Functions {
    /// # Safety
    ///
    /// The library must be libchdb of [`super::VERSION`], whose chdb.h has these types.
    unsafe fn bind(library: &libloading::Library) -> Result<Self, libloading::Error> {
        /// # Safety
        ///
        /// `T` must be the type of the function with this name.
        unsafe fn load_symbol<T: Copy>(
            library: &libloading::Library,
            name: &str,
        ) -> Result<T, libloading::Error> {
            // SAFETY: guaranteed by the caller.
            let symbol: Symbol<'_, T> = unsafe { library.get(name.as_bytes()) }?;
            Ok(*symbol)
        }
        // SAFETY: guaranteed by the caller.
        unsafe {
            Ok(Self {
                connect: load_symbol(library, "chdb_connect")?,
                close: load_symbol(library, "chdb_close_conn")?,
                stream_query: load_symbol(library, "chdb_stream_query_with_params_n")?,
                stream_fetch: load_symbol(library, "chdb_stream_fetch_result")?,
                stream_cancel: load_symbol(library, "chdb_stream_cancel_query")?,
                query: load_symbol(library, "chdb_query_with_params_n")?,
                insert: load_symbol(library, "chdb_stream_insert_with_params_n")?,
                insert_append: load_symbol(library, "chdb_stream_append")?,
                insert_done: load_symbol(library, "chdb_stream_done")?,
                insert_cancel: load_symbol(library, "chdb_stream_cancel_insert")?,
                insert_error: load_symbol(library, "chdb_stream_insert_error")?,
                insert_destroy: load_symbol(library, "chdb_destroy_insert_stream")?,
                result_destroy: load_symbol(library, "chdb_destroy_query_result")?,
                result_buffer: load_symbol(library, "chdb_result_buffer")?,
                result_length: load_symbol(library, "chdb_result_length")?,
                result_error: load_symbol(library, "chdb_result_error")?,
                storage_rows_read: load_symbol(library, "chdb_result_storage_rows_read")?,
                storage_bytes_read: load_symbol(library, "chdb_result_storage_bytes_read")?,
                rows_read: load_symbol(library, "chdb_result_rows_read")?,
                rows_written: load_symbol(library, "chdb_result_rows_written")?,
                bytes_written: load_symbol(library, "chdb_result_bytes_written")?,
                shutdown: load_symbol(library, "chdb_shutdown")?,
            })
        }
    }
}

/// Query parameters as names and values. Values are escaped as in ClickHouse's TabSeparated, as in the HTTP protocol.
pub(super) type StatementParams = Vec<(String, String)>;

struct ParamPointers {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl ParamPointers {
    fn new(params: &StatementParams) -> Self {
        Self {
            names: params.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: params.iter().map(|(name, _)| name.len()).collect(),
            values: params.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: params.iter().map(|(_, value)| value.len()).collect(),
        }
    }
}

/// A connection to the engine. Methods take `&mut self`, since it runs one statement at a time.
pub(crate) struct Connection {
    library: Arc<Library>,
    handle: NonNull<ConnectionRef>,
    /// Identifies the statement that runs on it, see `cancel.rs`.
    pub(super) mark: Option<String>,
}

// SAFETY: the header allows handles on any thread, and `&mut self` prevents concurrent calls.
unsafe impl Send for Connection {}

impl Connection {
    fn raw(&self) -> ConnectionRef {
        // SAFETY: the handle is from chdb_connect and valid until it is closed in `drop`.
        unsafe { *self.handle.as_ptr() }
    }

    fn call<T>(
        &self,
        function: StatementFn<T>,
        statement: &str,
        format: &str,
        params: &StatementParams,
    ) -> T {
        let pointers = ParamPointers::new(params);
        // SAFETY: the connection is open, and each pointer is valid for its length during the call. According to the
        // header, the library copies the parameters before it returns.
        unsafe {
            function(
                self.raw(),
                statement.as_ptr().cast(),
                statement.len(),
                format.as_ptr().cast(),
                format.len(),
                pointers.names.as_ptr(),
                pointers.name_lengths.as_ptr(),
                pointers.values.as_ptr(),
                pointers.value_lengths.as_ptr(),
                params.len(),
            )
        }
    }

    /// Runs a statement and returns its complete result in `format`.
    pub(crate) fn query(
        &mut self,
        statement: &str,
        format: &str,
        params: &StatementParams,
    ) -> Result<ResultChunk, LibraryError> {
        let result = self.call(self.library.functions.query, statement, format, params);
        ResultChunk::new(&self.library, result).into_result()
    }

    /// Starts a statement whose result is fetched in chunks. Each chunk is in `format`, with the format's header.
    pub(crate) fn stream<'a>(
        &'a mut self,
        statement: &str,
        format: &str,
        params: &StatementParams,
    ) -> Result<ResultStream<'a>, LibraryError> {
        let result = self.call(self.library.functions.stream_query, statement, format, params);
        let handle = ResultChunk::new(&self.library, result).into_result()?;
        Ok(ResultStream { connection: self, handle, finished: false })
    }

    /// Starts an INSERT whose data, in `format`, is appended in chunks.
    pub(crate) fn insert<'a>(
        &'a mut self,
        statement: &str,
        format: &str,
        params: &StatementParams,
    ) -> Result<InsertStream<'a>, LibraryError> {
        let handle = self.call(self.library.functions.insert, statement, format, params);
        if handle.is_null() {
            return Err(LibraryError::NoResult);
        }
        let stream = InsertStream { connection: self, handle, finished: false };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle is from chdb_connect and is closed only here. No stream borrows the connection any more.
        unsafe { (self.library.functions.close)(self.handle.as_ptr()) }
        self.library.connections.fetch_sub(1, Relaxed);
    }
}

/// A result, or a chunk of it. Its bytes are in the library's memory until it is dropped.
pub(crate) struct ResultChunk {
    library: Arc<Library>,
    result: *mut RawResult,
}

// SAFETY: a result owns its memory and may be used from any thread.
unsafe impl Send for ResultChunk {}
// SAFETY: methods that take `&self` only read.
unsafe impl Sync for ResultChunk {}

impl ResultChunk {
    fn new(library: &Arc<Library>, result: *mut RawResult) -> Self {
        Self { library: Arc::clone(library), result }
    }

    fn into_result(self) -> Result<Self, LibraryError> {
        if self.result.is_null() {
            return Err(LibraryError::NoResult);
        }
        // SAFETY: the result is valid. The text belongs to it and is copied.
        match unsafe { copy_text((self.library.functions.result_error)(self.result)) } {
            Some(text) => Err(LibraryError::exception(text)),
            None => Ok(self),
        }
    }

    /// The bytes of the result, in the statement's format.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the result is valid until it is dropped.
        let (buffer, length) = unsafe {
            (
                (self.library.functions.result_buffer)(self.result),
                (self.library.functions.result_length)(self.result),
            )
        };
        if buffer.is_null() || length == 0 {
            return &[];
        }
        // SAFETY: according to the header, the buffer has this length and lives as long as the result.
        unsafe { std::slice::from_raw_parts(buffer.cast(), length) }
    }

    fn counter(&self, function: ResultCounterFn) -> u64 {
        // SAFETY: the result is valid until it is dropped.
        unsafe { function(self.result) }
    }

    /// Counters of the statement up to this chunk.
    pub(crate) fn summary(&self) -> StatementSummary {
        let functions = &self.library.functions;
        StatementSummary {
            read_rows: self.counter(functions.storage_rows_read),
            read_bytes: self.counter(functions.storage_bytes_read),
            result_rows: self.counter(functions.rows_read),
            written_rows: self.counter(functions.rows_written),
            written_bytes: self.counter(functions.bytes_written),
        }
    }
}

impl AsRef<[u8]> for ResultChunk {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for ResultChunk {
    fn drop(&mut self) {
        if !self.result.is_null() {
            // SAFETY: the result is valid and is destroyed only here.
            unsafe { (self.library.functions.result_destroy)(self.result) }
        }
    }
}

/// Counters of a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatementSummary {
    /// Rows read from storage.
    pub read_rows: u64,
    /// Bytes read from storage.
    pub read_bytes: u64,
    /// Rows in the result.
    pub result_rows: u64,
    /// Rows written, including those of materialized views.
    pub written_rows: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

/// A running statement. Dropping it before the end of the result cancels the statement.
pub(crate) struct ResultStream<'a> {
    connection: &'a mut Connection,
    handle: ResultChunk,
    finished: bool,
}

impl ResultStream<'_> {
    /// The next chunk that has bytes. `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<ResultChunk>, LibraryError> {
        if self.finished {
            return Ok(None);
        }
        let library = &self.connection.library;
        loop {
            // SAFETY: connection and handle are valid, and `&mut self` prevents concurrent fetches.
            let chunk =
                unsafe { (library.functions.stream_fetch)(self.connection.raw(), self.handle.result) };
            let chunk =
                ResultChunk::new(library, chunk).into_result().inspect_err(|_| self.finished = true)?;
            if !chunk.bytes().is_empty() {
                return Ok(Some(chunk));
            }
            // A chunk without bytes may have rows, as in the format Null. Only the end has neither.
            if chunk.counter(library.functions.rows_read) == 0 {
                self.finished = true;
                return Ok(None);
            }
        }
    }
}

impl Drop for ResultStream<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: connection and handle are valid.
            unsafe {
                (self.connection.library.functions.stream_cancel)(self.connection.raw(), self.handle.result);
            }
        }
    }
}

/// A running INSERT. Dropping it without [`Self::finish`] cancels the INSERT.
pub(crate) struct InsertStream<'a> {
    connection: &'a mut Connection,
    handle: InsertRef,
    finished: bool,
}

// SAFETY: as for `Connection`, which it borrows exclusively.
unsafe impl Send for InsertStream<'_> {}

impl InsertStream<'_> {
    fn error(&self) -> Option<LibraryError> {
        // SAFETY: the handle is valid. The text belongs to it and is copied.
        let text = unsafe { copy_text((self.connection.library.functions.insert_error)(self.handle)) };
        text.map(LibraryError::exception)
    }

    /// Appends a chunk of the data. Rows may span chunks.
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), LibraryError> {
        // SAFETY: the handle is valid. The library copies the bytes before it returns.
        let state = unsafe {
            (self.connection.library.functions.insert_append)(self.handle, data.as_ptr().cast(), data.len())
        };
        if state == 0 {
            return Ok(());
        }
        Err(self.error().unwrap_or(LibraryError::DataRejected))
    }

    /// Ends the data and blocks until it is inserted. The result has the counters of the INSERT.
    pub(crate) fn finish(mut self) -> Result<ResultChunk, LibraryError> {
        self.finished = true;
        // SAFETY: the handle is valid, and `finish` consumes the stream.
        let result = unsafe { (self.connection.library.functions.insert_done)(self.handle) };
        ResultChunk::new(&self.connection.library, result).into_result()
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        let functions = &self.connection.library.functions;
        // SAFETY: the handle is valid and is destroyed only here. An unfinished INSERT is cancelled before.
        unsafe {
            if !self.finished {
                (functions.insert_cancel)(self.handle);
            }
            (functions.insert_destroy)(self.handle);
        }
    }
}

/// # Safety
///
/// The pointer must be null or point to a NUL-terminated text that lives for the call.
unsafe fn copy_text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: guaranteed by the caller.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    Some(text).filter(|text| !text.is_empty())
}
