import { StoreMaker } from './inspected-store.ts'

/**
 * Stored streams: `created` and `other` were created with different configurations and never
 * changed; `configured`, `closed` and `trimmed` had the change in their names; `sound` had none.
 */
export function changedStore(): StoreMaker {
  const maker = new StoreMaker()
  maker.create('created', { durability: 'immediate' })
  maker.create('other', { retention: { maxRecords: 1_000_000 } })
  for (const stream of ['created', 'other', 'configured', 'closed', 'trimmed', 'sound']) {
    maker.append(stream, 9)
  }
  maker.journal()
  maker.configure('configured', { checkpointEvery: 5 })
  maker.trim('trimmed', 4)
  maker.close('closed')
  maker.journal()
  maker.configure('configured', { retention: { maxBytes: 1e9 } })
  maker.append('configured', 9)
  maker.append('trimmed', 3)
  maker.stop()
  return maker
}
