import { diskFull } from './faults/disk-full.ts'
import { kill } from './faults/kill.ts'
import { systemCalls } from './faults/system-calls.ts'
import { tampering } from './faults/tamper.ts'
import { twoServers } from './faults/two-servers.ts'
import type { Fault } from './trial.ts'

/** Every fault, in the order of the report. */
export const FAULTS: readonly Fault[] = [kill, tampering, twoServers, diskFull, systemCalls]
