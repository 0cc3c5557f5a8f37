//! The C interface of libchdb as safe Rust values: the only unsafe code of this crate.
//!
//! Every handle is owned by one value that releases it on drop. A connection runs one statement
//! at a time, so the statement values borrow it mutably: the borrow checker keeps the rule that
//! the library asks its callers to keep.
#![expect(unsafe_code, reason = "libchdb is a C library; everything it offers is a C function")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{self, NonNull};

/// `chdb_connection`: what a cell returned by `chdb_connect` points to.
type Handle = *mut c_void;
type Names = *const *const c_char;
type Lengths = *const usize;

/// Declares the table of C functions and how it is filled from the library.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?,)+) => {
        /// The functions of the loaded library.
        pub(crate) struct Api { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)+ }

        impl Api {
            /// Looks all functions up; returns the names of those the library does not have.
            fn lookup(library: &libloading::Library) -> Result<Self, Vec<&'static str>> {
                let mut missing = Vec::new();
                $(
                    // SAFETY: the types are those of programs/local/chdb.h of chdb-core 26.7.3;
                    // the pointers stay valid because the library is never unloaded.
                    let $name = unsafe { library.get(concat!(stringify!($name), "\0")) }
                        .map(|symbol| *symbol)
                        .ok();
                    if $name.is_none() {
                        missing.push(stringify!($name));
                    }
                )+
                match ($($name,)+) {
                    ($(Some($name),)+) => Ok(Self { $($name,)+ }),
                    _ => Err(missing),
                }
            }
        }
    };
}

functions! {
    chdb_version: fn() -> *const c_char,
    chdb_set_signal_handlers_enabled: fn(c_int),
    chdb_connect: fn(c_int, *const *const c_char) -> *mut Handle,
    chdb_close_conn: fn(*mut Handle),
    chdb_query_with_params_n:
        fn(Handle, *const u8, usize, *const u8, usize, Names, Lengths, Names, Lengths, usize)
            -> *mut c_void,
    chdb_stream_query_with_params_n:
        fn(Handle, *const u8, usize, *const u8, usize, Names, Lengths, Names, Lengths, usize)
            -> *mut c_void,
    chdb_stream_fetch_result: fn(Handle, *mut c_void) -> *mut c_void,
    chdb_stream_cancel_query: fn(Handle, *mut c_void),
    chdb_destroy_query_result: fn(*mut c_void),
    chdb_stream_insert_with_params_n:
        fn(Handle, *const u8, usize, *const u8, usize, Names, Lengths, Names, Lengths, usize)
            -> *mut c_void,
    chdb_stream_append: fn(*mut c_void, *const u8, usize) -> c_int,
    chdb_stream_done: fn(*mut c_void) -> *mut c_void,
    chdb_stream_insert_error: fn(*mut c_void) -> *const c_char,
    chdb_destroy_insert_stream: fn(*mut c_void),
    chdb_result_buffer: fn(*mut c_void) -> *const u8,
    chdb_result_length: fn(*mut c_void) -> usize,
    chdb_result_elapsed: fn(*mut c_void) -> f64,
    chdb_result_rows_read: fn(*mut c_void) -> u64,
    chdb_result_storage_rows_read: fn(*mut c_void) -> u64,
    chdb_result_storage_bytes_read: fn(*mut c_void) -> u64,
    chdb_result_rows_written: fn(*mut c_void) -> u64,
    chdb_result_bytes_written: fn(*mut c_void) -> u64,
    chdb_result_error: fn(*mut c_void) -> *const c_char,
    chdb_classify_query_n: fn(Handle, *const u8, usize, *const u8, usize, *mut Analysis) -> c_int,
}

/// `chdb_query_analysis_v1`.
#[repr(C)]
struct Analysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// `CHDB_QUERY_READ_ONLY`: SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK.
const READ_ONLY: u32 = 0;

/// What stands in the way of using a file as the engine.
#[derive(Debug)]
pub(crate) enum Unsuitable {
    /// The dynamic linker refused it; its own words.
    Linker(String),
    /// It is a library, but not this one: the functions it lacks.
    Missing(Vec<&'static str>),
}

/// Loads the library for the rest of the process's life.
///
/// The engine starts threads that never end, so it is never unloaded. Loading leaves SIGPIPE
/// blocked in the loading thread: call this on a thread that ends afterwards.
pub(crate) fn load(file: &Path) -> Result<&'static Api, Unsuitable> {
    // SAFETY: running the initialisers of libchdb is what the caller asks for; they touch
    // nothing of ours but this thread's signal mask and the limit of descriptors.
    let library = unsafe {
        libloading::os::unix::Library::open(Some(file), libc::RTLD_NOW | libc::RTLD_LOCAL)
    }
    .map_err(|error| Unsuitable::Linker(linker_words(&error)))?;
    let library = libloading::Library::from(library);
    let api = Api::lookup(&library).map_err(Unsuitable::Missing)?;
    std::mem::forget(library);
    // SAFETY: called before the first connection, as the header asks; signals stay ours.
    unsafe { (api.chdb_set_signal_handlers_enabled)(0) };
    Ok(Box::leak(Box::new(api)))
}

/// The linker's message lies in the source of libloading's error.
fn linker_words(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl Api {
    /// The version of the library, such as `26.7.3`.
    pub(crate) fn version(&self) -> String {
        // SAFETY: returns a static text with a terminating zero.
        unsafe { text((self.chdb_version)()) }.unwrap_or_default()
    }

    /// Opens a connection; the first one starts the engine. `None`: the engine refused.
    pub(crate) fn connect(&'static self, arguments: &[CString]) -> Option<Connection> {
        let pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).expect("a handful of arguments");
        // SAFETY: `count` pointers to texts that outlive the call.
        let cell = unsafe { (self.chdb_connect)(count, pointers.as_ptr()) };
        Some(Connection { api: self, cell: NonNull::new(cell)? })
    }
}

/// A connection to the engine with settings, current database and temporary tables of its own.
pub(crate) struct Connection {
    api: &'static Api,
    cell: NonNull<Handle>,
}

// SAFETY: the library ties nothing to a thread; it asks for one caller at a time, which
// ownership and `&mut` guarantee (the type is not `Sync`).
unsafe impl Send for Connection {}

impl Connection {
    fn handle(&self) -> Handle {
        // SAFETY: the cell is valid until `chdb_close_conn`, which only `drop` calls.
        unsafe { *self.cell.as_ptr() }
    }

    /// Runs a statement and holds its whole answer. `Err` is the engine's text.
    pub(crate) fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Piece, String> {
        let bound = Bound::of(parameters);
        // SAFETY: all pointers go with their lengths and outlive the call.
        let result = unsafe {
            (self.api.chdb_query_with_params_n)(
                self.handle(),
                sql.as_ptr(),
                sql.len(),
                format.as_ptr(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        Piece::of(self.api, result)
    }

    /// Starts a query whose answer comes in pieces. `Err` is the engine's text.
    pub(crate) fn stream(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Stream<'_>, String> {
        let bound = Bound::of(parameters);
        // SAFETY: all pointers go with their lengths and outlive the call.
        let result = unsafe {
            (self.api.chdb_stream_query_with_params_n)(
                self.handle(),
                sql.as_ptr(),
                sql.len(),
                format.as_ptr(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        let piece = Piece::of(self.api, result)?;
        Ok(Stream { result: piece, connection: self, ended: false })
    }

    /// Starts an insert whose data is appended in pieces. `Err` is the engine's text.
    pub(crate) fn insert(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Insert<'_>, String> {
        let bound = Bound::of(parameters);
        // SAFETY: all pointers go with their lengths and outlive the call.
        let handle = unsafe {
            (self.api.chdb_stream_insert_with_params_n)(
                self.handle(),
                sql.as_ptr(),
                sql.len(),
                format.as_ptr(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        let Some(handle) = NonNull::new(handle) else {
            return Err("the engine gave no insert stream".to_owned());
        };
        let insert = Insert { api: self.api, handle, connection: PhantomData };
        match insert.error() {
            Some(error) => Err(error),
            None => Ok(insert),
        }
    }

    /// Whether the engine's parser sees more than reading in it; text that does not parse is
    /// not taken for a change.
    pub(crate) fn changes_something(&mut self, sql: &[u8]) -> bool {
        let mut analysis = Analysis {
            struct_size: u32::try_from(size_of::<Analysis>()).expect("16"),
            statement_count: 0,
            flags: 0,
            query_class: READ_ONLY,
        };
        // SAFETY: the structure has the size it says; no target database is given.
        let state = unsafe {
            (self.api.chdb_classify_query_n)(
                self.handle(),
                sql.as_ptr(),
                sql.len(),
                ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        state == 0 && analysis.statement_count > 0 && analysis.query_class != READ_ONLY
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the cell came from `chdb_connect` and is closed once.
        unsafe { (self.api.chdb_close_conn)(self.cell.as_ptr()) };
    }
}

/// Parameters in the shape of the C interface; borrows the texts.
struct Bound<'a> {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
    texts: PhantomData<&'a str>,
}

impl<'a> Bound<'a> {
    fn of(parameters: &'a [(String, String)]) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
            texts: PhantomData,
        }
    }
}

/// What a statement read and wrote.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Rows of the answer.
    pub(crate) result_rows: u64,
    /// Bytes of the answer as sent.
    pub(crate) result_bytes: u64,
    /// Rows read from storage.
    pub(crate) read_rows: u64,
    /// Bytes read from storage.
    pub(crate) read_bytes: u64,
    /// Rows written, by materialized views too.
    pub(crate) written_rows: u64,
    /// Bytes written, by materialized views too.
    pub(crate) written_bytes: u64,
    /// Seconds.
    pub(crate) elapsed: f64,
}

impl Tally {
    /// Adds a further piece: rows of the answer add up, what was read grows.
    pub(crate) fn add(&mut self, piece: &Self) {
        self.result_rows += piece.result_rows;
        self.result_bytes += piece.result_bytes;
        self.read_rows = self.read_rows.max(piece.read_rows);
        self.read_bytes = self.read_bytes.max(piece.read_bytes);
        self.written_rows = self.written_rows.max(piece.written_rows);
        self.written_bytes = self.written_bytes.max(piece.written_bytes);
        self.elapsed = self.elapsed.max(piece.elapsed);
    }
}

/// An answer, or one piece of one.
pub(crate) struct Piece {
    api: &'static Api,
    result: NonNull<c_void>,
}

// SAFETY: a result is a plain buffer; nothing in it belongs to a thread.
unsafe impl Send for Piece {}

impl Piece {
    fn of(api: &'static Api, result: *mut c_void) -> Result<Self, String> {
        let Some(result) = NonNull::new(result) else {
            return Err("the engine gave no result".to_owned());
        };
        let piece = Self { api, result };
        // SAFETY: the result is valid until `drop`.
        match unsafe { text((api.chdb_result_error)(piece.result.as_ptr())) } {
            Some(error) => Err(error),
            None => Ok(piece),
        }
    }

    /// The bytes in the output format.
    pub(crate) fn bytes(&self) -> &[u8] {
        let result = self.result.as_ptr();
        // SAFETY: the buffer belongs to the result and lives as long; its length goes with it.
        unsafe {
            let (buffer, length) =
                ((self.api.chdb_result_buffer)(result), (self.api.chdb_result_length)(result));
            if buffer.is_null() { &[] } else { std::slice::from_raw_parts(buffer, length) }
        }
    }

    /// What it took.
    pub(crate) fn tally(&self) -> Tally {
        let result = self.result.as_ptr();
        // SAFETY: plain getters on a valid result.
        unsafe {
            Tally {
                result_rows: (self.api.chdb_result_rows_read)(result),
                result_bytes: (self.api.chdb_result_length)(result) as u64,
                read_rows: (self.api.chdb_result_storage_rows_read)(result),
                read_bytes: (self.api.chdb_result_storage_bytes_read)(result),
                written_rows: (self.api.chdb_result_rows_written)(result),
                written_bytes: (self.api.chdb_result_bytes_written)(result),
                elapsed: (self.api.chdb_result_elapsed)(result),
            }
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: destroyed once.
        unsafe { (self.api.chdb_destroy_query_result)(self.result.as_ptr()) };
    }
}

/// A query under way; dropped before its end, it is cancelled.
pub(crate) struct Stream<'a> {
    result: Piece,
    connection: &'a mut Connection,
    ended: bool,
}

impl Stream<'_> {
    /// The next piece; `None` at the end. `Err` is the engine's text.
    pub(crate) fn fetch(&mut self) -> Result<Option<Piece>, String> {
        if self.ended {
            return Ok(None);
        }
        let handle = self.connection.handle();
        // SAFETY: stream and connection are valid, and nobody else calls into them.
        let piece = unsafe {
            (self.connection.api.chdb_stream_fetch_result)(handle, self.result.result.as_ptr())
        };
        let piece = Piece::of(self.connection.api, piece);
        self.ended = piece.as_ref().map_or(true, |piece| piece.bytes().is_empty());
        piece.map(|piece| (!self.ended).then_some(piece))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let handle = self.connection.handle();
            // SAFETY: as in `fetch`; the result itself is destroyed by its own drop.
            unsafe {
                (self.connection.api.chdb_stream_cancel_query)(handle, self.result.result.as_ptr());
            }
        }
    }
}

/// An insert under way; dropped without [`Insert::finish`], it is cancelled.
pub(crate) struct Insert<'a> {
    api: &'static Api,
    handle: NonNull<c_void>,
    connection: PhantomData<&'a mut Connection>,
}

impl Insert<'_> {
    /// Hands on the next bytes of the data, cut anywhere; waits while the engine is busy.
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), String> {
        // SAFETY: the engine copies the bytes before it returns.
        let state = unsafe {
            (self.api.chdb_stream_append)(self.handle.as_ptr(), data.as_ptr(), data.len())
        };
        match (state, self.error()) {
            (0, _) => Ok(()),
            (_, Some(error)) => Err(error),
            (_, None) => Err("the engine takes no more data".to_owned()),
        }
    }

    /// Says that this was all, and waits until it is stored.
    pub(crate) fn finish(self) -> Result<Tally, String> {
        // SAFETY: the stream is valid; its handle is destroyed by drop afterwards.
        let result = unsafe { (self.api.chdb_stream_done)(self.handle.as_ptr()) };
        Piece::of(self.api, result).map(|piece| piece.tally())
    }

    fn error(&self) -> Option<String> {
        // SAFETY: null or a text that lives until the stream changes.
        unsafe { text((self.api.chdb_stream_insert_error)(self.handle.as_ptr())) }
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: destroyed once; the library cancels what was not finished.
        unsafe { (self.api.chdb_destroy_insert_stream)(self.handle.as_ptr()) };
    }
}

/// A C text as a Rust one; `None` for null and for the empty one.
///
/// # Safety
/// `pointer` is null or points to a text with a terminating zero.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}
