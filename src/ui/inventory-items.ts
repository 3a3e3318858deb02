/** What the inventory shows of each guest: from the coordinator, and the panes of what never became a guest. */
import type { Coordinator } from '../vmm/index.ts';
import { callName, stateText } from './format.ts';
import type { Pane } from './guest-pane.ts';
import type { InventoryFigures, InventoryItem } from './inventory.ts';
import { bytesText } from './monitor/numbers.ts';

/** A guest that uses less of a processor does its housekeeping, and nothing else. */
const idlePercent = 2;
const curveSeconds = 60;

/** Every guest that can run, and what never became one. */
export function inventoryItems(vmm: Coordinator, panes: ReadonlyMap<string, Pane>): InventoryItem[] {
  const guests = vmm.list().filter(({ definition }) => !definition.template);
  const items = guests.map(({ id, status }) => ({
    id,
    name: callName(guests, id),
    state: status.state,
    title: stateText(status),
    note: status.state === 'running' ? '' : stateText(status),
  }));
  const failed = [...panes.values()].filter((pane) => !pane.guest);
  return [
    ...items,
    ...failed.map((pane) => ({
      id: pane.id,
      name: pane.name,
      state: 'failed' as const,
      title: pane.summary(),
      note: pane.summary(),
    })),
  ];
}

/** Undefined for a guest that does not run. */
export function inventoryFigures(vmm: Coordinator, id: string): InventoryFigures | undefined {
  if (!vmm.list().some((guest) => guest.id === id && guest.status.state === 'running')) return undefined;
  const history = vmm.history(id);
  if (history === undefined) return undefined;
  const cpu = history.last('cpu');
  return {
    cpu: cpu < idlePercent ? 'idle' : `${Math.round(cpu)} %`,
    memory: bytesText(history.last('resident')),
    curve: history.column('cpu', curveSeconds),
  };
}
