//! Where the program takes its memory from. What counts for a server, which is there all day, is how much; for a
//! check of a folder, how fast.

use std::env;

/// Chooses by the command that `main` is about to run; to be called before there are other threads.
pub fn choose() {
    // What the command line makes of its arguments is known too late.
    let is_server = env::args_os().nth(1).is_some_and(|it| it == "server" || it == "--stdio");
    choose_for(is_server);
}

/// Has all threads of a server take memory from one heap. They work in turns, and with heaps of their own each
/// would keep what it needed at most: a third more for a large file.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn choose_for(is_server: bool) {
    if is_server {
        // SAFETY: this sets a number inside the allocator, and is no more than a wish.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

#[cfg(target_env = "musl")]
use musl::choose_for;

#[cfg(not(any(all(target_os = "linux", target_env = "gnu"), target_env = "musl")))]
fn choose_for(_is_server: bool) {}

/// One heap for all threads takes least, but has those wait for each other that want memory at once: on two cores,
/// a check of thousands of files takes a third longer. mimalloc does not, and keeps twice as much.
#[cfg(target_env = "musl")]
mod musl {
    use dlmalloc::Dlmalloc;
    use libmimalloc_sys::mi_is_in_heap_region;
    use mimalloc::MiMalloc;
    use std::alloc::{GlobalAlloc, Layout};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator;

    /// Whether memory comes from mimalloc. Once set it stays so.
    static IS_FAST: AtomicBool = AtomicBool::new(false);

    /// The heap that is small.
    static HEAP: Mutex<Heap> = Mutex::new(Heap(Dlmalloc::new()));

    struct Heap(Dlmalloc);

    // SAFETY: the addresses in it are of memory that is its own, whichever thread asks.
    unsafe impl Send for Heap {}

    /// Neither the lock nor the heap takes memory from here; nothing panics while it is held.
    fn heap() -> MutexGuard<'static, Heap> {
        HEAP.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn choose_for(is_server: bool) {
        IS_FAST.store(!is_server, Ordering::Relaxed);
    }

    /// One of two allocators; what one has given goes back to it.
    struct Allocator;

    /// Whether mimalloc has given `memory`; some is older than the choice.
    fn is_of_mimalloc(memory: *mut u8) -> bool {
        // SAFETY: it takes any address, and does not read there.
        IS_FAST.load(Ordering::Relaxed) && unsafe { mi_is_in_heap_region(memory.cast_const().cast()) }
    }

    // SAFETY: each of the two keeps the contract, and `is_of_mimalloc` gives back to each what it gave. Nothing comes
    // from mimalloc before the choice is made, and that is before other threads could miss it.
    unsafe impl GlobalAlloc for Allocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            unsafe { if IS_FAST.load(Ordering::Relaxed) { MiMalloc.alloc(layout) } else { heap().0.malloc(layout.size(), layout.align()) } }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            unsafe { if IS_FAST.load(Ordering::Relaxed) { MiMalloc.alloc_zeroed(layout) } else { heap().0.calloc(layout.size(), layout.align()) } }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            unsafe { if is_of_mimalloc(memory) { MiMalloc.dealloc(memory, layout) } else { heap().0.free(memory, layout.size(), layout.align()) } }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            unsafe {
                if is_of_mimalloc(memory) { MiMalloc.realloc(memory, layout, size) } else { heap().0.realloc(memory, layout.size(), layout.align(), size) }
            }
        }
    }
}
