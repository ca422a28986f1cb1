import { readdirSync } from 'node:fs'
import { auditWhole, verifyWhole } from '../audit.ts'
import { Ledger } from '../ledger.ts'
import { Load } from '../load.ts'
import { growthOf, type Sample } from '../growth.ts'
import { Server } from '../server.ts'
import { type Fault, sleep, type Trial } from '../trial.ts'

const MIB = 1024 * 1024
const SAMPLE_MS = 500
/** Share of the time in which caches and the heap of V8 fill; it is not measured. */
const WARM_UP = 1 / 3
/**
 * Resident memory must stay below RESIDENT_MAX_MIB. In a long load it may grow by GROWTH_MAX_MIB
 * between the first and the last quarter. A short load only shows how heaps and the allocator fill,
 * so its growth is measured but not judged.
 */
const RESIDENT_MAX_MIB = 1024
const GROWTH_MAX_MIB = 64
const LONG_MINUTES = 30
const FILES_MAX = 32
const PAUSE_MS = 2
const KEPT_RECORDS = 2_000

export const memory: Fault = {
  name: 'memory',
  title:
    `mixed load for minutes, trimmed to ${KEPT_RECORDS} records a stream: after the first third ` +
    `resident memory stays below ${RESIDENT_MAX_MIB} MiB, and grows by ${GROWTH_MAX_MIB} MiB at ` +
    `most when ${LONG_MINUTES} minutes or more are measured; open files grow by ${FILES_MAX}`,
  needs: [],
  cases: ({ loadMinutes }) => [
    {
      name: 'mixed load',
      isUnbounded: true,
      run: trial => watchLoad(trial, loadMinutes * 60_000),
    },
  ],
}

async function watchLoad(trial: Trial, forMs: number): Promise<void> {
  const data = trial.path('data')
  const ledger = new Ledger(trial)
  const server = await Server.start(trial, { data, args: ['--shards=2'] })
  const load = new Load(trial, ledger, { pauseMs: PAUSE_MS, keep: KEPT_RECORDS })
  const startMs = performance.now()
  const isOver = () => performance.now() - startMs > forMs || !server.isRunning
  const ended = load.run(server.client, isOver)
  const samples: Sample[] = []
  while (!isOver()) {
    await sleep(SAMPLE_MS)
    const atMs = performance.now() - startMs
    if (atMs > forMs * WARM_UP && server.isRunning) samples.push(sampleOf(server, atMs))
  }
  await ended
  if (!server.isRunning) return trial.find('hurt', 'the process ended under load')
  judge(trial, samples, forMs)
  trial.note('records accepted', load.accepted)
  await auditWhole(trial, server.client, ledger)
  await verifyWhole(trial, server.client, ledger)
  const code = await server.stop()
  if (code !== 0) trial.find('slow', `a clean stop ended with ${code}`)
}

function sampleOf(server: Server, atMs: number): Sample {
  return {
    atMs,
    resident: server.residentBytes / MIB,
    files: readdirSync(`/proc/${server.pid}/fd`).length,
  }
}

function judge(trial: Trial, samples: readonly Sample[], forMs: number): void {
  const { resident, added, perHour, filesAdded } = growthOf(samples)
  const minutes = (forMs * (1 - WARM_UP)) / 60_000
  trial.note('minutes measured', Math.round(minutes * 10) / 10)
  trial.note('resident MiB, median', Math.round(resident))
  trial.note('resident MiB added, last quarter against the first', Math.round(added))
  trial.note('resident MiB an hour, slope of the line through all samples', Math.round(perHour))
  const during = `in ${minutes.toFixed(1)} minutes`
  const largest = Math.round(Math.max(...samples.map(sample => sample.resident)))
  trial.note('resident MiB, largest', largest)
  if (largest > RESIDENT_MAX_MIB) trial.find('slow', `${largest} MiB resident ${during}`)
  if (minutes >= LONG_MINUTES && added > GROWTH_MAX_MIB) {
    trial.find('slow', `${Math.round(added)} MiB more resident memory ${during}`)
  }
  if (filesAdded > FILES_MAX) trial.find('slow', `${filesAdded} more open files ${during}`)
}
