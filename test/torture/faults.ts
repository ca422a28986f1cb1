import { clock } from './faults/clock.ts'
import { diskFull } from './faults/disk-full.ts'
import { fuzz } from './faults/fuzz.ts'
import { histories } from './faults/histories.ts'
import { kill } from './faults/kill.ts'
import { limits } from './faults/limits.ts'
import { memory } from './faults/memory.ts'
import { pause } from './faults/pause.ts'
import { powerCut } from './faults/power-cut.ts'
import { sabotage } from './faults/sabotage.ts'
import { simulated } from './faults/simulated.ts'
import { sockets } from './faults/sockets.ts'
import { systemCalls } from './faults/system-calls.ts'
import { tampering } from './faults/tamper.ts'
import { threads } from './faults/threads.ts'
import { twoServers } from './faults/two-servers.ts'
import type { Fault } from './trial.ts'

/** Every fault, in the order of the report. */
export const FAULTS: readonly Fault[] = [
  kill,
  histories,
  threads,
  powerCut,
  systemCalls,
  diskFull,
  limits,
  pause,
  clock,
  twoServers,
  sockets,
  memory,
  tampering,
  simulated,
  fuzz,
  sabotage,
]
