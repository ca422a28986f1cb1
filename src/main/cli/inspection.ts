import { Worker } from 'node:worker_threads'
import type {
  Finding,
  InspectionMessage,
  InspectionReport,
  InspectionRequest,
  RepairReport,
} from '../../shared/protocol/inspection.ts'
import { CommandFailure } from './context.ts'

export type InspectionListener = {
  onProgress?(progress: { doneBytes: number; totalBytes: number; what: string }): void
  onText?(text: string): Promise<void>
  onFinding(finding: Finding): void
  onRepaired?(report: RepairReport): void
}

/**
 * Runs a request on a thread of its own, so that its progress shows.
 * @returns the report of a verification
 * @throws CommandFailure when it could not be done
 */
export async function inspect(
  request: InspectionRequest,
  listener: InspectionListener,
): Promise<InspectionReport | undefined> {
  const thread = new Worker(new URL('../../workers/inspection.js', import.meta.url), {
    workerData: request,
  })
  let report: InspectionReport | undefined
  let failure: CommandFailure | undefined
  let printed: Promise<void> = Promise.resolve()
  const take = (message: InspectionMessage): void => {
    switch (message.kind) {
      case 'progress':
        return listener.onProgress?.(message)
      case 'finding': {
        const { kind: _, ...finding } = message
        return listener.onFinding(finding)
      }
      case 'line':
        printed = printed.then(() => listener.onText?.(message.text))
        return undefined
      case 'report': {
        const { kind: _, ...content } = message
        report = content
        return undefined
      }
      case 'repaired': {
        const { kind: _, ...content } = message
        return listener.onRepaired?.(content)
      }
      case 'failed':
        failure = new CommandFailure(message.reason)
        return undefined
    }
  }
  await new Promise<void>((resolve, reject) => {
    thread.on('message', take).once('error', reject)
    thread.once('exit', () => resolve())
  })
  await printed
  if (failure !== undefined) throw failure
  return report
}

/** One line: what, where, and why. Ranges are half-open. */
export function describeFinding(finding: Finding): string {
  const { severity, file, stream, offsets, bytes, reason } = finding
  const facts = [
    severity === 'damage' ? `DAMAGE ${file}` : `note   ${file}`,
    ...(stream === undefined ? [] : [`stream ${JSON.stringify(stream)}`]),
    // A damaged checkpoint has an empty range, because no record is lost.
    ...(offsets === undefined || offsets[0] === offsets[1]
      ? []
      : [`offsets [${offsets.join(', ')})`]),
    ...(bytes === undefined ? [] : [`bytes [${bytes.join(', ')})`]),
    reason,
  ]
  return facts.join(' · ')
}
