import { describe, expect, it } from 'vitest';
import { SharedImages } from './shared-images.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('SharedImages', () => {
  it('puts chunks together, and has the same bytes once', () => {
    const images = new SharedImages();
    const image = images.share([bytes(1, 2), bytes(3)]);
    expect([...new Uint8Array(image)]).toEqual([1, 2, 3]);
    expect(images.share([bytes(1), bytes(2, 3)])).toBe(image);
    expect(images.share([bytes(1, 2, 4)])).not.toBe(image);
    expect(images.share([bytes(1, 2)])).not.toBe(image);
  });
});
