//! The struct offsets that the readers need, looked up once.

use super::GoError;
use super::layout::Layouts;

/// Byte offsets of the fields that are read, from the start of their struct. `None` for a field that a
/// version does not have, or whose offset is not known.
#[derive(Debug, Clone)]
pub(super) struct Offsets {
    pub(super) g_stack_lo: usize,
    pub(super) g_stack_hi: usize,
    pub(super) g_m: usize,
    pub(super) g_sched_sp: usize,
    pub(super) g_sched_pc: usize,
    pub(super) g_sched_bp: usize,
    pub(super) g_syscallsp: usize,
    pub(super) g_syscallpc: usize,
    pub(super) g_status: usize,
    pub(super) g_goid: usize,
    pub(super) g_waitsince: usize,
    pub(super) g_waitreason: usize,
    pub(super) g_lockedm: usize,
    /// From 1.21 on.
    pub(super) g_parent: Option<usize>,
    pub(super) g_gopc: usize,
    pub(super) g_startpc: usize,
    pub(super) g_waiting: usize,
    pub(super) g_labels: usize,
    /// The goroutines that it descends from. Not read with the rest of a g.
    pub(super) g_ancestors: Option<usize>,
    /// Its newest pending deferred call.
    pub(super) g_defer: Option<u64>,
    /// The collector asked it to shrink its stack when it next can.
    pub(super) g_preempt_shrink: Option<usize>,
    /// How often the goroutine stopped running, modulo 256.
    pub(super) g_tracking_seq: Option<usize>,
    /// How much of a g is read: up to the end of the last of these fields.
    pub(super) g_size: usize,

    pub(super) m_g0: u64,
    pub(super) m_curg: u64,
    pub(super) m_procid: u64,
    pub(super) m_alllink: Option<u64>,
    pub(super) m_gsignal: Option<u64>,
    pub(super) m_ncgocall: Option<u64>,
    pub(super) m_vdso_sp: Option<u64>,
    pub(super) m_vdso_pc: Option<u64>,

    pub(super) p_id: u64,
    pub(super) p_status: u64,
    pub(super) p_runqhead: u64,
    pub(super) p_runqtail: u64,
    pub(super) p_runnext: Option<u64>,
    pub(super) p_goidcache: Option<u64>,
    pub(super) p_goidcacheend: Option<u64>,
    /// From 1.26 on.
    pub(super) p_created: Option<u64>,

    /// Stack pointer of the function that deferred the call.
    pub(super) defer_sp: Option<u64>,
    pub(super) defer_fn: Option<u64>,
    pub(super) defer_link: Option<u64>,

    pub(super) sudog_elem: usize,
    pub(super) sudog_c: usize,
    pub(super) sudog_g: usize,
    pub(super) sudog_next: usize,
    pub(super) sudog_prev: usize,
    pub(super) sudog_waitlink: usize,
    pub(super) sudog_size: usize,

    pub(super) hchan_qcount: usize,
    pub(super) hchan_dataqsiz: usize,
    pub(super) hchan_closed: usize,
    pub(super) hchan_elemtype: usize,
    pub(super) hchan_recvq: usize,
    pub(super) hchan_sendq: usize,
    pub(super) hchan_size: usize,
}

impl Offsets {
    /// Looks them up.
    ///
    /// # Errors
    /// When the offset of an indispensable field is not known.
    pub(super) fn new(layouts: &Layouts) -> Result<Self, GoError> {
        let offset = |name: &str, field: &str| layouts.get(name)?.fields.get(field).map(|f| f.offset);
        let get = |name: &'static str, field: &'static str| {
            offset(name, field).filter(|o| *o < 1 << 16).ok_or_else(|| GoError::NotFound {
                what: "the layout of a runtime struct",
                tried: format!("no source of layouts has field {field} of {name}"),
            })
        };
        let at = |name, field| get(name, field).map(|o| o as usize);
        let size = |name: &str, fields: &[usize], word: usize| -> usize {
            let known = layouts.get(name).map_or(0, |s| s.size as usize);
            let needed = fields.iter().max().map_or(0, |last| last + word);
            if known == 0 { needed } else { needed.min(known.max(needed)) }
        };

        let mut this = Offsets {
            g_stack_lo: at("g", "stack.lo")?,
            g_stack_hi: at("g", "stack.hi")?,
            g_m: at("g", "m")?,
            g_sched_sp: at("g", "sched.sp")?,
            g_sched_pc: at("g", "sched.pc")?,
            g_sched_bp: at("g", "sched.bp")?,
            g_syscallsp: at("g", "syscallsp")?,
            g_syscallpc: at("g", "syscallpc")?,
            g_status: at("g", "atomicstatus")?,
            g_goid: at("g", "goid")?,
            g_waitsince: at("g", "waitsince")?,
            g_waitreason: at("g", "waitreason")?,
            g_lockedm: at("g", "lockedm")?,
            g_parent: offset("g", "parentGoid").map(|o| o as usize),
            g_gopc: at("g", "gopc")?,
            g_startpc: at("g", "startpc")?,
            g_waiting: at("g", "waiting")?,
            g_labels: at("g", "labels")?,
            g_ancestors: get("g", "ancestors").ok().map(|o| o as usize),
            g_defer: offset("g", "_defer"),
            g_preempt_shrink: offset("g", "preemptShrink").map(|o| o as usize),
            g_tracking_seq: offset("g", "trackingSeq").map(|o| o as usize),
            g_size: 0,
            m_g0: get("m", "g0")?,
            m_curg: get("m", "curg")?,
            m_procid: get("m", "procid")?,
            m_alllink: offset("m", "alllink"),
            m_gsignal: offset("m", "gsignal"),
            m_ncgocall: offset("m", "ncgocall"),
            m_vdso_sp: offset("m", "vdsoSP"),
            m_vdso_pc: offset("m", "vdsoPC"),
            p_id: get("p", "id")?,
            p_status: get("p", "status")?,
            p_runqhead: get("p", "runqhead")?,
            p_runqtail: get("p", "runqtail")?,
            p_runnext: offset("p", "runnext"),
            p_goidcache: offset("p", "goidcache"),
            p_goidcacheend: offset("p", "goidcacheend"),
            p_created: offset("p", "goroutinesCreated"),
            defer_sp: offset("_defer", "sp"),
            defer_fn: offset("_defer", "fn"),
            defer_link: offset("_defer", "link"),
            sudog_elem: at("sudog", "elem")?,
            sudog_c: at("sudog", "c")?,
            sudog_g: at("sudog", "g")?,
            sudog_next: at("sudog", "next")?,
            sudog_prev: at("sudog", "prev")?,
            sudog_waitlink: at("sudog", "waitlink")?,
            sudog_size: 0,
            hchan_qcount: at("hchan", "qcount")?,
            hchan_dataqsiz: at("hchan", "dataqsiz")?,
            hchan_closed: at("hchan", "closed")?,
            hchan_elemtype: at("hchan", "elemtype")?,
            hchan_recvq: at("hchan", "recvq.first")?,
            hchan_sendq: at("hchan", "sendq.first")?,
            hchan_size: 0,
        };
        let o = &this;
        let g = [o.g_sched_bp, o.g_lockedm, o.g_gopc, o.g_startpc, o.g_waiting, o.g_labels, o.g_goid];
        let sudog = [o.sudog_elem, o.sudog_c, o.sudog_waitlink, o.sudog_prev, o.sudog_next];
        let hchan = [o.hchan_recvq, o.hchan_sendq, o.hchan_elemtype, o.hchan_closed];
        (this.g_size, this.sudog_size, this.hchan_size) =
            (size("g", &g, 8), size("sudog", &sudog, 8), size("hchan", &hchan, 8));
        Ok(this)
    }
}
