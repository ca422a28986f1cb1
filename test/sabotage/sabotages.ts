import { ENGINE_SABOTAGES } from './engine.ts'
import { FRONT } from './front.ts'
import { JOURNAL } from './journal.ts'
import { RECOVERY } from './recovery.ts'
import type { Sabotage } from './sabotage.ts'
import { WRITE_BACK } from './write-back.ts'

/** All of them, in the order in which they are numbered from 1. */
export const SABOTAGES: readonly Sabotage[] = [
  ...JOURNAL,
  ...RECOVERY,
  ...ENGINE_SABOTAGES,
  ...WRITE_BACK,
  ...FRONT,
]
