import { KIB, MIB } from '../shared/limits.ts'

// biome-ignore format: a table is read by column
const SIZE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12,
  kib: KIB, mib: MIB, gib: KIB * MIB, tib: MIB * MIB,
}

/** Bytes that a size with or without a unit stands for; NaN where it is none. */
export function readSize(written: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(written) ?? []
  const factor = SIZE_UNITS[unit === '' ? 'b' : unit.toLowerCase()]
  return number === '' || factor === undefined ? Number.NaN : Math.round(Number(number) * factor)
}

/** Bytes in the largest unit that keeps them whole: `64MiB`. */
export function formatSize(size: number): string {
  const unit = (['TiB', 'GiB', 'MiB', 'KiB'] as const).find(
    name => size > 0 && size % (SIZE_UNITS[name.toLowerCase()] as number) === 0,
  )
  return unit === undefined
    ? String(size)
    : `${size / (SIZE_UNITS[unit.toLowerCase()] as number)}${unit}`
}
