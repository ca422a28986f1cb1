import { auditWhole } from '../audit.ts'
import { type Client, describe } from '../client.ts'
import { Ledger } from '../ledger.ts'
import { SmallDisk } from '../mounts.ts'
import { Refused, Server, SMALL } from '../server.ts'
import { type Case, type Fault, sleep, type Trial, until } from '../trial.ts'

const STREAMS = ['first', 'second', 'third', 'fourth']
const DISK_MEBIBYTES = 64
/** Time in which appends stop on a full disk, and come back on one with room. */
const TURN_MS = 10_000
const KIB = 1024

type DiskKind = 'tmpfs' | 'ext4'

export const diskFull: Fault = {
  name: 'disk-full',
  title: 'a small tmpfs or ext4 filled up and freed: under way, at a start, around a kill',
  needs: ['mount'],
  isParallel: true,
  cases: ({ isLong }) =>
    (['tmpfs', 'ext4'] as const).flatMap(kind => [
      ...[0, 1, 2].slice(0, isLong ? 3 : 1).flatMap((run): Case[] => [
        { name: `${kind}, reserve kept, run ${run}`, run: trial => underWay(trial, kind, '4MiB') },
        { name: `${kind}, no reserve, run ${run}`, run: trial => underWay(trial, kind, '0') },
      ]),
      { name: `${kind}, started full`, run: trial => startedFull(trial, kind, 'stop') },
      { name: `${kind}, killed and started full`, run: trial => startedFull(trial, kind, 'kill') },
    ]),
}

async function underWay(trial: Trial, kind: DiskKind, reserve: string): Promise<void> {
  const disk = SmallDisk[kind](trial, DISK_MEBIBYTES)
  const ledger = new Ledger(trial)
  const server = await Server.start(trial, { data: disk.data, args: argsWith(reserve) })
  await appendAll(trial, server.client, ledger)
  for (let round = 0; round < 2; round += 1) {
    disk.fill()
    await expectFull(trial, server.client, ledger)
    await auditWhole(trial, server.client, ledger)
    disk.free()
    await expectRoom(trial, server.client, ledger)
  }
  await auditWhole(trial, server.client, ledger)
  const code = await server.stop()
  if (code !== 0) trial.find('refused', `the stop ended with ${code}`)
  await checkAgain(trial, disk, ledger)
}

/** A start on a full disk serves reads, and appends as soon as there is room. */
async function startedFull(trial: Trial, kind: DiskKind, end: 'stop' | 'kill'): Promise<void> {
  const disk = SmallDisk[kind](trial, DISK_MEBIBYTES)
  const ledger = new Ledger(trial)
  const first = await Server.start(trial, { data: disk.data, args: argsWith('0') })
  await appendAll(trial, first.client, ledger)
  await (end === 'stop' ? first.stop() : first.kill())
  disk.fill()
  try {
    const second = await Server.start(trial, { data: disk.data, args: argsWith('0') })
    await auditWhole(trial, second.client, ledger)
    disk.free()
    await expectRoom(trial, second.client, ledger)
    await auditWhole(trial, second.client, ledger)
    await second.kill()
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    trial.find('refused', `start on a full disk: ${error.message}`)
    disk.free()
  }
  await checkAgain(trial, disk, ledger)
}

function argsWith(reserve: string): string[] {
  return [...SMALL, `--disk-reserve-bytes=${reserve}`]
}

async function appendAll(trial: Trial, client: Client, ledger: Ledger): Promise<void> {
  for (let round = 0; round < 40; round += 1) {
    for (const stream of STREAMS) {
      const refusal = await append(client, ledger, stream)
      if (refusal !== undefined) trial.find('refused', `append with room: ${refusal}`)
    }
  }
}

/** Appends until one is refused with 507; what else is refused on the way is a finding. */
async function expectFull(trial: Trial, client: Client, ledger: Ledger): Promise<void> {
  const full = await until(TURN_MS, async () => {
    for (const stream of STREAMS) {
      const refusal = await append(client, ledger, stream)
      if (refusal === undefined) continue
      if (refusal.startsWith('507 disk_full')) return true
      trial.find('wrong', `on a full disk: ${refusal}`)
      await sleep(200)
    }
    return undefined
  })
  if (full === undefined) trial.find('wrong', 'appends to a full disk are not refused with 507')
}

/** Every stream takes appends again, without a restart. */
async function expectRoom(trial: Trial, client: Client, ledger: Ledger): Promise<void> {
  for (const stream of STREAMS) {
    let refusal: string | undefined
    const accepted = await until(TURN_MS, async () => {
      refusal = await append(client, ledger, stream)
      return refusal === undefined ? true : undefined
    })
    if (accepted === undefined) trial.find('refused', `with room again: ${refusal}`)
  }
}

async function checkAgain(trial: Trial, disk: SmallDisk, ledger: Ledger): Promise<void> {
  const server = await Server.start(trial, { data: disk.data, args: argsWith('0') })
  await auditWhole(trial, server.client, ledger)
  await expectRoom(trial, server.client, ledger)
  await server.kill()
}

/** One append of a few KiB; what it was refused with, or undefined. */
async function append(client: Client, ledger: Ledger, stream: string): Promise<string | undefined> {
  const records = [{ text: ledger.text(4 * KIB) }]
  const sent = ledger.send([{ stream, records }])
  const answer = await client.append(stream, { records })
  return ledger.answered(sent, answer) ? undefined : describe(answer)
}
