//! Read buffers to use again: the first touch of a fresh page costs more than copying into it.

use std::sync::{Arc, Mutex, Weak};

use crate::sync::lock;

/// Buffers of one size that rest here.
#[derive(Debug)]
pub(super) struct Pool {
    buffer_bytes: usize,
    /// How many rest here at most.
    most: usize,
    buffers: Mutex<Vec<Box<[u8]>>>,
}

impl Pool {
    pub(super) const fn new(buffer_bytes: usize, most: usize) -> Self {
        Self { buffer_bytes, most, buffers: Mutex::new(Vec::new()) }
    }

    /// A buffer of at least `len` bytes, with anything in it.
    pub(super) fn take(pool: &Arc<Self>, len: usize) -> Pooled {
        let buffer = if len > pool.buffer_bytes {
            vec![0; len].into_boxed_slice()
        } else {
            let pooled = lock(&pool.buffers).pop();
            pooled.unwrap_or_else(|| vec![0; pool.buffer_bytes].into_boxed_slice())
        };
        Pooled { buffer, pool: Arc::downgrade(pool) }
    }
}

/// A buffer that goes back to its pool when it, or the last `Bytes` on it, is dropped.
#[derive(Debug)]
pub(super) struct Pooled {
    buffer: Box<[u8]>,
    pool: Weak<Pool>,
}

impl Pooled {
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade().filter(|pool| self.buffer.len() == pool.buffer_bytes) else { return };
        let mut buffers = lock(&pool.buffers);
        if buffers.len() < pool.most {
            buffers.push(std::mem::take(&mut self.buffer));
        }
    }
}
