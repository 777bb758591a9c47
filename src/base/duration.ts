// Durations and sizes as people write them: "30s", "10GiB".

const durationUnitsMs = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

const sizeUnitsBytes = new Map([
  ['', 1],
  ['b', 1],
  ['kb', 1e3],
  ['mb', 1e6],
  ['gb', 1e9],
  ['tb', 1e12],
  ['kib', 2 ** 10],
  ['mib', 2 ** 20],
  ['gib', 2 ** 30],
  ['tib', 2 ** 40],
]);

function scaled(text: string, units: ReadonlyMap<string, number>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  const unit = units.get((match?.[2] ?? '?').toLowerCase());
  if (match === null || unit === undefined) return undefined;
  const value = Math.round(Number(match[1]) * unit);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Milliseconds of "500ms", "30s", "2m", "1.5h" or "7d"; undefined for anything else, also for a number without a unit. */
export function parseDurationMs(text: string): number | undefined {
  return scaled(text, durationUnitsMs);
}

/** Bytes of "1048576", "512KiB", "10GiB" or "5MB"; undefined for anything else. */
export function parseSizeBytes(text: string): number | undefined {
  return scaled(text, sizeUnitsBytes);
}

/** At most two units, the larger first: "3d 4h", "12s", "850ms". */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)}ms`;
  const units = [...durationUnitsMs].reverse();
  const first = units.findIndex(([, unitMs]) => durationMs >= unitMs);
  const [name, unitMs] = units[first] ?? ['ms', 1];
  const count = Math.floor(durationMs / unitMs);
  const [nextName, nextMs] = units[first + 1] ?? ['ms', 1];
  const rest = nextName === 'ms' ? 0 : Math.floor((durationMs - count * unitMs) / nextMs);
  return rest === 0 ? `${count}${name}` : `${count}${name} ${rest}${nextName}`;
}

/** In powers of 1024 with three significant digits: "512 B", "1.5 MiB". */
export function formatSize(sizeBytes: number): string {
  let value = sizeBytes;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1000 || unit === 'TiB') {
      return unit === 'B' ? `${value} B` : `${Number(value.toPrecision(3))} ${unit}`;
    }
    value /= 1024;
  }
  return `${sizeBytes} B`;
}
