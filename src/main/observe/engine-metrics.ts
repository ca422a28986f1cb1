import type { ShardedStore } from '../shards/sharded-store.ts'
import type { StoreStats } from '../shards/store-stats.ts'
import type { Metrics } from './metrics.ts'

type EngineGauge = readonly [name: string, help: string, of: (stats: StoreStats) => number]

// biome-ignore format: a table of metrics is read by column
const ENGINE_GAUGES: readonly EngineGauge[] = [
  ['varve_streams',                    'Streams of the shard',                             s => s.streams],
  ['varve_shard_records_total',        'Records made durable since the start',             s => s.appendedRecords],
  ['varve_shard_bytes_total',          'Bytes of records made durable since the start',    s => s.appendedBytes],
  ['varve_shard_queued',               'Mutations waiting for room in the log buffer',     s => s.queuedMutations],
  ['varve_tail_bytes',                 'Memory for records that are not in segments yet',  s => s.tailBytes],
  ['varve_journal_bytes',              'Bytes of journal since the last write-back',       s => s.journalBytes],
  ['varve_next_lsn',                   'LSN up to which frames were assigned',             s => s.nextLsn],
  ['varve_durable_lsn',                'LSN up to which the journal is durable',           s => s.durableLsn],
  ['varve_journal_checkpoints_total',  'Write-backs since the start',                      s => s.checkpoints],
  ['varve_direct_appends_total',       'Appends that went straight to a segment',          s => s.directAppends],
  ['varve_shard_parked',               'Mutations waiting for a transaction',              s => s.parkedMutations],
  ['varve_transactions_staged',        'Transactions pending in the shard',                s => s.stagedTransactions],
  ['varve_transactions_in_doubt',      'Pending ones whose coordinator must be asked',     s => s.inDoubtTransactions],
  ['varve_parts_committed_total',      'Parts of transactions committed since the start', s => s.committedTransactions],
  ['varve_parts_aborted_total',        'Parts of transactions aborted since the start',    s => s.abortedTransactions],
  ['varve_flushes_total',              'Blocks written and synced since the start',        s => s.flushes],
  ['varve_flushed_bytes_total',        'Bytes of blocks since the start',                  s => s.flushedBytes],
  ['varve_flush_write_seconds_total',  'Time in writes of the journal',                    s => s.writeSeconds],
  ['varve_flush_sync_seconds_total',   'Time in syncs of the journal',                     s => s.syncSeconds],
  ['varve_trim_records_total',         'Records trimmed on request since the start',       s => s.trimmedRecords],
  ['varve_trim_bytes_total',           'Bytes of segments freed by trims on request',      s => s.trimmedBytes],
  ['varve_retention_records_total',    'Records trimmed by retention since the start',     s => s.retentionRecords],
  ['varve_retention_bytes_total',      'Bytes of segments freed by retention',             s => s.retentionBytes],
  ['varve_segments_removed_total',     'Segments removed after trims since the start',     s => s.removedSegments],
  ['varve_encoded_frames_total',       'Frames encoded since the start',                   s => s.encodedFrames],
  ['varve_encode_seconds_total',       'Time in the encoding of frames',                   s => s.encodeSeconds],
  ['varve_overlapped_frames_total',    'Frames encoded beside a flush',                    s => s.overlappedFrames],
  ['varve_overlapped_seconds_total',   'Time in their encoding',                           s => s.overlappedSeconds],
  ['varve_journal_files_made_total',   'Journal files made since the start',               s => s.journalFiles.made],
  ['varve_journal_files_reused_total', 'Journal files reused since the start',             s => s.journalFiles.reused],
  ['varve_in_flight_bytes',            'Bytes of appends on their way to the shard',       s => s.inFlightBytes],
]

/** Adds what the shards know of themselves to the metrics, a series a shard. */
export function addEngineGauges(metrics: Metrics, store: ShardedStore): void {
  const read = metrics.oncePerScrape(() => store.stats())
  for (const [name, help, of] of ENGINE_GAUGES) {
    metrics.addGauge({
      name,
      help,
      label: 'shard',
      collect: async () =>
        (await read()).map(stats => ({ of: String(stats.shard), value: of(stats) })),
    })
  }
  metrics.addGauge({
    name: 'varve_direct_io',
    help: '1 while the journal is written past the page cache',
    label: 'shard',
    collect: async () =>
      store
        .status()
        .map(({ shard, directIo }) => ({ of: String(shard), value: directIo === 'on' ? 1 : 0 })),
  })
  metrics.addGauge({
    name: 'varve_damaged_streams',
    help: 'Streams with a part that cannot be read or stored',
    collect: async () => [{ value: new Set(store.damage().map(({ streamId }) => streamId)).size }],
  })
  metrics.addGauge({
    name: 'varve_shard_ready',
    help: '1 while the shard takes appends',
    label: 'shard',
    collect: async () =>
      store
        .status()
        .map(({ shard, state }) => ({ of: String(shard), value: state === 'ready' ? 1 : 0 })),
  })
}
