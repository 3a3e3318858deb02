/** Histories and events as files: JSON for programs, CSV (RFC 4180, with a header) for spreadsheets. */
import type { LogEntry } from './event-log.ts';
import type { History } from './history.ts';

export type ExportFormat = 'json' | 'csv';

const logColumns = ['number', 'time', 'guest', 'name', 'kind', 'tone', 'text', 'cause'] as const;

export function exportEvents(entries: readonly LogEntry[], format: ExportFormat): string {
  const rows = entries.map(({ atMs, ...entry }) => ({ time: new Date(atMs).toISOString(), ...entry }));
  if (format === 'json') return `${JSON.stringify(rows, null, 2)}\n`;
  const cells = rows.map((row) =>
    logColumns.map((column) => {
      const value = row[column];
      return cell(typeof value === 'object' ? JSON.stringify(value) : value);
    }),
  );
  return lines([logColumns, ...cells]);
}

/** Rows of samples, oldest first; the times are Unix seconds. */
export function exportHistory(history: History<string>, format: ExportFormat): string {
  const values = history.columns.map((column) => history.column(column));
  const rows = Array.from({ length: history.rows }, (_, row) => values.map((column) => rounded(column[row] ?? 0)));
  if (format === 'csv') return lines([history.columns, ...rows.map((row) => row.map(String))]);
  const objects = rows.map((row) => Object.fromEntries(history.columns.map((column, n) => [column, row[n]])));
  return `${JSON.stringify(objects)}\n`;
}

/** More digits than these say nothing. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/**
 * Text that a spreadsheet would take for a formula is marked as text: names of guests may come from anywhere (OWASP, CSV
 * injection).
 */
function cell(value: string | number | undefined): string {
  if (typeof value !== 'string') return String(value ?? '');
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function lines(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.join(',')}\r\n`).join('');
}
