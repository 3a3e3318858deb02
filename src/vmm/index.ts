/** The public interface of the coordinator: all that pages and tests see of the layers below them. */
export {
  Coordinator,
  type CloneReport,
  type CoordinatorOptions,
  type GuestSummary,
  type MemoryPoolState,
  type VmmEvent,
} from './coordinator.ts';
export {
  parseMemoryMiB,
  type CatalogueEntry,
  type GuestRequest,
  type GuestSource,
  type SourceOverrides,
} from './catalogue.ts';
export type { OutputListener, TextMatch, WaitForTextOptions } from './console.ts';
export { messageOf, sizeText, VmmError, type VmmErrorCode } from './errors.ts';
export type { StorageStatus } from './definition-keeper.ts';
export {
  definitionDefaults,
  definitionProblems,
  keptFileUrl,
  type Definition,
  type DefinitionChanges,
  type DefinitionField,
  type DefinitionProblems,
} from './definition.ts';
export type { Disks, DiskSummary } from './disks.ts';
export type { DiskRecord } from './disk-registry.ts';
export type { Definitions } from './definitions.ts';
export type { CrashCause, GuestStatus, StopCause } from './guest-status.ts';
export type { GuestStats } from './guest.ts';
export type { LifeCopy } from './guest-life.ts';
export type { ExitCounter } from '../abi/control.ts';
export type { ScheduleReason } from '../abi/host-page.ts';
export type { MemoryStatistics, Statistics } from '../abi/statistics.ts';
export { mostBalloonMiB } from './balloon.ts';
export type { Host, ExecutorHandle, ProcessorHandle } from './host.ts';
export type { MemoryBudget } from './memory-budget.ts';
export type { MemoryHolder, MemoryPoolUsage } from './memory-pool.ts';
export type { LogEntry, LogKind, LogTone } from './monitor/event-log.ts';
export { exportEvents, exportHistory, type ExportFormat } from './monitor/export.ts';
export {
  exitReasons,
  type ExitColumn,
  type GuestColumn,
  type GuestFigures,
  type GuestHistory,
  type HostColumn,
  type HostFigures,
  type HostHistory,
  type MonitorSnapshot,
  type SharedFigures,
} from './monitor/figures.ts';
export { sampleCount, sampleIntervalMs } from './monitor/monitor.ts';
export {
  settingsOfQuery,
  shareOf,
  type Affinity,
  type ProcessorMode,
  type ProcessorSettings,
  type ProcessorsState,
  type ProcessorTime,
  type ProcessorUse,
  type ScheduleEntry,
  type Share,
} from './processors/share.ts';
