/* The handover of slots between appender and flusher, and the wake-ups between them and the front
 * end, as in src/shared/memory/slot-state.ts, src/workers/journal/log-buffer.ts,
 * src/workers/journal/block-writer.ts, src/workers/flusher.ts and
 * src/main/shards/durable-waits.ts. Each statement that touches a shared word is one Atomics call.
 *
 * Checked over every interleaving, with a disk that is full for a while, fails a write or a sync,
 * and an engine that gives the shard up at any moment:
 *
 *   - what is answered as durable has been synced
 *   - a slot does not change from where it is sealed to where it is free again
 *   - whoever finds both slots free finds everything sealed durable
 *   - once the shard has failed the durable mark does not move, and nothing durable is refused
 *   - every wait ends: a lost wake-up is an invalid end state
 *
 * Each TWIN_ macro breaks the protocol in one place; the test shows that the checks notice it.
 */

#define BLOCKS 3

#define FREE 0
#define FILLING 1
#define SEALED 2
#define FLUSHING 3
#define FAILED 4
#define SYNCED 5

/* Shared words. */
byte slot[2];
byte sealedBell;
byte flushedBell;
byte durable;
bool failure;
bool stop;

/* The bytes of a slot: which block they are. */
byte content[2];
/* Said before a slot is sealed: the durable mark once its block is synced. */
byte endOf[2];

/* What only an observer of the whole knows. */
byte synced;
bool isFrozen;
byte frozenAt;

inline exchange(word, from, to, isDone) {
  atomic {
    if
    :: slot[word] == from -> slot[word] = to; isDone = true
    :: else -> isDone = false
    fi
  }
}

/* LogBuffer and the part of the engine that goes by what it sees. */
active proctype Appender() {
  byte s = 0, next = 1, seen, first, second, w;
  bool isDone, mayGiveUp;

  if
  :: mayGiveUp = true
  :: mayGiveUp = false /* or no wait of the appender would ever be needed */
  fi;
  do
  :: seen = flushedBell; /* before the slots are looked at */
     if
     :: failure -> goto freeze
     :: else
     fi;
     first = slot[0];
     second = slot[1];
     atomic {
       if
       :: first < SEALED && second < SEALED -> assert(durable == next - 1)
       :: else
       fi;
       first = 0;
       second = 0
     };
     if
     :: durable == BLOCKS -> break
     :: mayGiveUp -> goto freeze /* the engine gives up: a stall, a failed job */
     :: next <= BLOCKS && slot[s] == FREE ->
        exchange(s, FREE, FILLING, isDone);
        assert(isDone);
        content[s] = next;
        endOf[s] = next;
        exchange(s, FILLING, SEALED, isDone);
        assert(isDone);
#ifndef TWIN_SEAL_DOES_NOT_RING
        sealedBell++;
#endif
        s = 1 - s;
        next++
     :: else -> atomic { flushedBell != seen; seen = 0 }
     fi
  od;
  stop = true;
  sealedBell++;
  goto done;

freeze: /* LogBuffer.freeze, then ShardEngine.fail */
  seen = 0;
  do
  :: w < 2 ->
     exchange(w, SEALED, FAILED, isDone);
     if
     :: isDone -> goto taken
     :: else
     fi;
     exchange(w, FLUSHING, FAILED, isDone);
     if
     :: isDone -> goto taken
     :: else
     fi;
     if
     :: slot[w] == SYNCED ->
        seen = durable;
        if
        :: seen < endOf[w] ->
           atomic {
             if
             :: durable == seen -> durable = endOf[w]
             :: else
             fi
           }
        :: else
        fi;
        seen = 0
     :: else
     fi;
taken:
     w++
  :: else -> break
  od;
  skip;
  d_step { isFrozen = true; frozenAt = durable };
  sealedBell++;
  failure = true;
  flushedBell++;
done:
  skip
}

/* The loop of flusher.ts around BlockWriter.step. */
active proctype Flusher() {
  byte f = 0, seen, block, state;
  bool isDone;

  do
  ::
#ifndef TWIN_FLUSHER_LOOKS_FIRST
     seen = sealedBell; /* before the slots are looked at */
#endif
     state = slot[f];
     if
     :: state == FAILED -> break
     :: state == SEALED ->
        exchange(f, SEALED, FLUSHING, isDone);
        if
        :: isDone
        :: else -> break
        fi;
        atomic { block = content[f]; seen = 0; state = 0 };
#ifdef TWIN_DURABLE_BEFORE_SYNC
        durable = endOf[f];
#endif
again:  if
        :: goto again /* the disk is full: the same block is written again */
        :: goto fail  /* the write fails */
        :: skip       /* it is written */
        fi;
        if
        :: goto fail  /* the sync fails */
        :: synced = block
        fi;
        assert(content[f] == block);
        assert(slot[f] == FLUSHING || slot[f] == FAILED);
#ifndef TWIN_NO_SYNCED_STATE
        exchange(f, FLUSHING, SYNCED, isDone);
        if
        :: isDone
        :: else -> break
        fi;
#endif
#ifdef TWIN_FREE_BEFORE_DURABLE
        exchange(f, SYNCED, FREE, isDone);
        assert(isDone);
#endif
        atomic {
          assert(!isFrozen || endOf[f] <= frozenAt);
          durable = endOf[f]
        };
#ifdef TWIN_NO_SYNCED_STATE
        exchange(f, FLUSHING, FREE, isDone);
        if
        :: isDone
        :: else -> break
        fi;
#else
#ifndef TWIN_FREE_BEFORE_DURABLE
        exchange(f, SYNCED, FREE, isDone);
        assert(isDone);
#endif
#endif
        f = 1 - f;
#ifndef TWIN_FLUSH_DOES_NOT_RING
        flushedBell++
#endif
     :: else ->
        if
        :: stop -> break
        :: else
        fi;
#ifdef TWIN_FLUSHER_LOOKS_FIRST
        seen = sealedBell;
#endif
end_asleep: /* for good when the shard has failed; while others wait, that is a lost wake-up */
        atomic { sealedBell != seen; seen = 0; state = 0 }
     fi
  od;
  goto done;

fail:
  failure = true;
  exchange(f, FLUSHING, FAILED, isDone);
#ifndef TWIN_FAILURE_DOES_NOT_RING
  flushedBell++;
#endif
done:
  skip
}

/* DurableWaits: answers for one of the blocks, or refuses it when it never becomes durable. */
active proctype FrontEnd() {
  byte wait, seen, mark;
  bool isOver;

  select (wait : 1 .. BLOCKS);
  do
  ::
#ifndef TWIN_FRONT_END_LOOKS_FIRST
     seen = flushedBell; /* before the durable mark is looked at */
#endif
#ifdef TWIN_MARK_BEFORE_FAILURE
     mark = durable;
     isOver = failure;
#else
     isOver = failure; /* before the durable mark: what became durable earlier is answered */
     mark = durable;
#endif
     if
     :: mark >= wait ->
        assert(synced >= wait);
        break
     :: mark < wait && isOver ->
        assert(durable < wait);
        break
     :: else ->
#ifdef TWIN_FRONT_END_LOOKS_FIRST
        seen = flushedBell;
#endif
        atomic { flushedBell != seen; seen = 0; mark = 0 }
     fi
  od
}
