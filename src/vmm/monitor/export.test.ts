import { describe, expect, it } from 'vitest';
import { EventLog } from './event-log.ts';
import { exportEvents, exportHistory } from './export.ts';
import { History } from './history.ts';

describe('export', () => {
  const history = new History(['time', 'cpu'], 10);
  history.push([1, 0.12345]);
  history.push([2, 100]);

  it('writes samples', () => {
    expect(exportHistory(history, 'csv')).toBe('time,cpu\r\n1,0.123\r\n2,100\r\n');
    expect(JSON.parse(exportHistory(history, 'json'))).toEqual([
      { time: 1, cpu: 0.123 },
      { time: 2, cpu: 100 },
    ]);
  });

  it('writes events with their causes, and what a spreadsheet would compute as text', () => {
    const log = new EventLog(() => 0);
    const cause = { kind: 'executorDied', message: 'it said "no",\nand died' } as const;
    log.guests([{ id: 'a', name: '=1+1', status: { state: 'running' } }]);
    log.status({ id: 'a', name: '=1+1', status: { state: 'crashed', cause } });
    const { entries } = log.since();
    const csv = exportEvents(entries, 'csv').split('\r\n');
    expect(csv[0]).toBe('number,time,guest,name,kind,tone,text,cause');
    expect(csv[1]).toBe("0,1970-01-01T00:00:00.000Z,a,'=1+1,guestAdded,neutral,It was added.,");
    expect(csv[2]).toContain('"Its worker died while it computed: it said ""no"",\nand died."');
    expect(JSON.parse(exportEvents(entries, 'json'))[1]).toMatchObject({
      time: '1970-01-01T00:00:00.000Z',
      kind: 'crashed',
      cause,
    });
  });
});
