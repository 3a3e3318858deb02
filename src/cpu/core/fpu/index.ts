/**
 * The interface of the x87/SSE software arithmetic; see f80.ts for the conventions. The paths have no extension because
 * asc takes one in `import` but not in `export … from`.
 */
export { f80_add, f80_sub, f80_mul, f80_div } from './add-mul-div';
export { f80_sqrt, f80_rem, f80_rndint, f80_scale, f80_xtract } from './sqrt-rem';
export {
  f80_from_f32,
  f80_from_f64,
  f80_from_i64,
  f80_from_bcd,
  f80_to_f32,
  f80_to_f64,
  f80_to_i16,
  f80_to_i32,
  f80_to_i64,
  f80_to_bcd,
  f80_const,
} from './convert';
export { f80_compare, f80_tst, f80_xam } from './compare';
export { f80_sin, f80_cos, f80_sincos, f80_ptan } from './trig';
export { f80_patan } from './atan';
export { f80_2xm1, f80_yl2x, f80_yl2xp1 } from './log-exp';
export {
  sse_f64_add,
  sse_f64_sub,
  sse_f64_mul,
  sse_f64_div,
  sse_f64_sqrt,
  sse_f64_min,
  sse_f64_max,
  sse_f64_compare,
  sse_f32_add,
  sse_f32_sub,
  sse_f32_mul,
  sse_f32_div,
  sse_f32_sqrt,
  sse_f32_min,
  sse_f32_max,
  sse_f32_compare,
  sse_f32_to_f64,
  sse_f64_to_f32,
  sse_i64_to_f64,
  sse_i64_to_f32,
  sse_i32_to_f64,
  sse_i32_to_f32,
  sse_f64_to_i32,
  sse_f64_to_i64,
  sse_f32_to_i32,
  sse_f32_to_i64,
} from './sse';
