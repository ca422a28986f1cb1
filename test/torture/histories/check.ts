import type { FindingKind } from '../trial.ts'
import type { AppendOperation, Deletion, History, Interval, Observation } from './history.ts'

// Checks a history of append-only streams for linearizability. A stream's state is a prefix of one
// sequence of records, so the general search is not needed: a history is linearizable when all
// answers agree on that sequence and its order agrees with the real time of the operations.

export type Violation = { readonly kind: FindingKind; readonly detail: string }

/** One stream from its creation to its deletion. */
type Life = {
  readonly name: string
  readonly streamId: string
  readonly observations: Observation[]
  readonly applied: AppendOperation[]
  /** Offset → digest, of everything that was seen or acknowledged. */
  readonly records: Map<number, string>
}

/** An append and the offset that it got, by an answer or by being seen. */
type Placed = Interval & { readonly firstOffset: number; readonly nextOffset: number }

/** @returns what no order of the operations explains */
export function checkHistory(history: History): Violation[] {
  const violations: Violation[] = []
  const find = (kind: FindingKind, detail: string) => violations.push({ kind, detail })
  const senders = new Map<string, AppendOperation>()
  for (const append of history.appends) {
    for (const digest of append.digests) senders.set(digest, append)
  }
  const lives = livesOf(history, find)
  for (const life of lives) {
    checkRecords(life, senders, find)
    const placed = checkPlaces(life, history, senders, find)
    checkOrder(life, placed, find)
    checkEnds(life, placed, find)
  }
  checkLives(lives, history, find)
  return violations
}

type Find = (kind: FindingKind, detail: string) => void

/** Gathers what each life was seen to hold; two answers that differ are a finding. */
function livesOf({ appends, observations }: History, find: Find): Life[] {
  const lives = new Map<string, Life>()
  const lifeOf = (name: string, streamId: string): Life => {
    const key = `${name} ${streamId}`
    const life: Life = lives.get(key) ?? {
      name,
      streamId,
      observations: [],
      applied: [],
      records: new Map(),
    }
    lives.set(key, life)
    return life
  }
  const hold = ({ name, records }: Life, firstOffset: number, digests: readonly string[]) => {
    for (const [index, digest] of digests.entries()) {
      const known = records.get(firstOffset + index)
      if (known !== undefined && known !== digest) {
        find('wrong', `${name}@${firstOffset + index} was told as two different records`)
      }
      records.set(firstOffset + index, digest)
    }
  }
  for (const append of appends) {
    const { stream, outcome, firstOffset, streamId, digests } = append
    if (outcome !== 'applied' || firstOffset === undefined || streamId === undefined) continue
    const life = lifeOf(stream, streamId)
    life.applied.push(append)
    hold(life, firstOffset, digests)
  }
  for (const observation of observations) {
    const life = lifeOf(observation.stream, observation.streamId)
    life.observations.push(observation)
    hold(life, observation.firstOffset, observation.digests)
  }
  return [...lives.values()]
}

/** Every record was sent to this stream, was not refused, and is there once. */
function checkRecords(
  { name, records }: Life,
  senders: ReadonlyMap<string, AppendOperation>,
  find: Find,
): void {
  const places = new Map<string, number>()
  for (const [offset, digest] of records) {
    const sender = senders.get(digest)
    const place = places.get(digest)
    places.set(digest, offset)
    if (place !== undefined) find('wrong', `${name}@${offset} repeats the record at ${place}`)
    if (sender === undefined || sender.stream !== name) {
      find('wrong', `${name}@${offset} is a record that nobody sent there`)
    } else if (sender.outcome === 'refused') {
      find('wrong', `${name}@${offset} is of an append that was refused`)
    }
  }
}

/** Where the appends of a life are; each whole and consecutive, and where it was expected. */
function checkPlaces(
  { name, records }: Life,
  { appends }: History,
  senders: ReadonlyMap<string, AppendOperation>,
  find: Find,
): Placed[] {
  const firstOffsets = new Map<AppendOperation, number>()
  for (const [offset, digest] of records) {
    const sender = senders.get(digest)
    if (sender === undefined) continue
    const firstOffset = offset - sender.digests.indexOf(digest)
    const known = firstOffsets.get(sender)
    if (known !== undefined && known !== firstOffset) {
      find('wrong', `${name}@${offset}: the records of one append are not consecutive`)
    }
    firstOffsets.set(sender, firstOffset)
  }
  const end = Math.max(-1, ...records.keys()) + 1
  return appends.flatMap(append => {
    const firstOffset = firstOffsets.get(append)
    if (firstOffset === undefined) return []
    const { digests, expectedOffset, startMs, endMs } = append
    const nextOffset = firstOffset + digests.length
    if (expectedOffset !== undefined && expectedOffset !== firstOffset) {
      find('wrong', `${name}: an append that expected ${expectedOffset} is at ${firstOffset}`)
    }
    // A part that was not read is no evidence; one that was and is something else is.
    const half = digests.findIndex((digest, index) => {
      const offset = firstOffset + index
      return offset < end && records.has(offset) && records.get(offset) !== digest
    })
    if (half >= 0) find('wrong', `${name}@${firstOffset + half}: half of an append is there`)
    return [{ firstOffset, nextOffset, startMs, endMs }]
  })
}

/** An append that had ended before another began has the lower offset. */
function checkOrder({ name }: Life, placed: readonly Placed[], find: Find): void {
  const downwards = [...placed].sort((a, b) => b.firstOffset - a.firstOffset)
  let earliest: Placed | undefined
  for (const append of downwards) {
    if (earliest !== undefined && earliest.endMs < append.startMs) {
      const [low, high] = [append.firstOffset, earliest.firstOffset]
      find('wrong', `${name}: the append at ${low} began after the one at ${high} had ended`)
    }
    if (earliest === undefined || append.endMs < earliest.endMs) earliest = append
  }
}

/**
 * Each end that was told covers everything that was known before the question, and nothing whose
 * append began after the answer.
 */
function checkEnds(life: Life, placed: readonly Placed[], find: Find): void {
  const { name, observations, applied } = life
  const known = [
    ...observations.map(one => ({ atMs: one.endMs, tailOffset: endOf(one) })),
    ...applied.map(({ endMs, firstOffset = 0, digests }) => ({
      atMs: endMs,
      tailOffset: firstOffset + digests.length,
    })),
  ].sort((a, b) => a.atMs - b.atMs)
  const asked = [...observations].sort((a, b) => a.startMs - b.startMs)
  let least = 0
  let at = 0
  for (const { startMs, tailOffset } of asked) {
    for (let next = known[at]; next !== undefined && next.atMs < startMs; next = known[at]) {
      least = Math.max(least, next.tailOffset)
      at += 1
    }
    if (tailOffset !== undefined && tailOffset < least) {
      find('lost', `${name} was said to end at ${tailOffset} when ${least} was known`)
    }
  }
  checkNothingEarly(life, placed, find)
}

/** The least end that the stream had when it was observed. */
function endOf({ firstOffset, digests, tailOffset = 0 }: Observation): number {
  return Math.max(tailOffset, firstOffset + digests.length)
}

function checkNothingEarly({ name, observations }: Life, placed: readonly Placed[], find: Find) {
  // The earliest start of the appends from an offset on, so that one look tells of all of them.
  const upwards = [...placed].sort((a, b) => a.firstOffset - b.firstOffset)
  for (const observation of observations) {
    const { endMs } = observation
    const tailOffset = endOf(observation)
    for (let at = upwards.length - 1; at >= 0; at -= 1) {
      const append = upwards[at] as Placed
      if (append.firstOffset >= tailOffset) continue
      if (append.startMs > endMs) {
        find('wrong', `${name}@${append.firstOffset} was told before it was sent`)
      }
      // Older appends began before, or their order is a finding of its own.
      break
    }
  }
}

/** A stream ends by a deletion alone, and what was deleted is never seen again. */
function checkLives(lives: readonly Life[], { deletions, absences }: History, find: Find): void {
  const names = new Map<string, Life[]>()
  for (const life of lives) names.set(life.name, [...(names.get(life.name) ?? []), life])
  for (const [name, ofName] of names) {
    const deleted = deletions.filter(({ stream }) => stream === name)
    const absent = absences.filter(({ stream }) => stream === name)
    for (const life of ofName) {
      const sightings: Interval[] = [...life.observations, ...life.applied]
      const others: Interval[] = ofName
        .filter(other => other !== life)
        .flatMap(other => [...other.observations, ...other.applied])
      checkDead(life, sightings, deleted, find)
      checkGone(life, sightings, [...absent, ...others], deleted, find)
    }
  }
}

/** Nothing of a life is seen by who asks after its deletion was answered. */
function checkDead(
  { name, streamId }: Life,
  sightings: readonly Interval[],
  deletions: readonly Deletion[],
  find: Find,
): void {
  const seenMs = Math.min(...sightings.map(({ endMs }) => endMs))
  const death = deletions.find(({ startMs, isAnswered }) => isAnswered && startMs > seenMs)
  const after = sightings.find(({ startMs }) => death !== undefined && startMs > death.endMs)
  if (after !== undefined) find('wrong', `${name} (${streamId}) is seen after its deletion`)
}

/** Who finds another stream or none, after this one was known, needs a deletion to explain it. */
function checkGone(
  { name, streamId }: Life,
  sightings: readonly Interval[],
  gone: readonly Interval[],
  deletions: readonly Deletion[],
  find: Find,
): void {
  const seenMs = Math.min(...sightings.map(({ endMs }) => endMs))
  const lastMs = Math.max(...sightings.map(({ startMs }) => startMs))
  for (const { startMs, endMs } of gone) {
    if (startMs < seenMs) continue
    // A sighting took effect in its interval, maybe long before its answer came.
    const isExplained = deletions.some(one => one.startMs < endMs && one.endMs > lastMs)
    if (!isExplained) find('lost', `${name} (${streamId}) is gone without a deletion`)
    if (endMs < lastMs) find('wrong', `${name} (${streamId}) was gone and came back`)
  }
}
