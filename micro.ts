import { ModuleBuilder } from '/work/wt-interp/src/wasm/encoder.ts';
const N=32, REC=64;
function body(code,k){ // mem[cpu+rm]+=mem[cpu+reg]*k
  code.get(0).get(1).memory('i32.load16_u',4).op('i32.add');
  code.get(0).get(1).memory('i32.load16_u',4).op('i32.add').memory('i32.load',0);
  code.get(0).get(1).memory('i32.load16_u',6).op('i32.add').memory('i32.load',0);
  code.i32(k*77+1).op('i32.xor').op('i32.add').memory('i32.store',0);
}
function mod(kind){
  const m=new ModuleBuilder();
  m.importMemory('env','memory',{minimum:16,maximum:16,shared:true});const mem=new WebAssembly.Memory({initial:16,maximum:16,shared:true});
  const sig=m.signature(['i32','i32','i32'],['i32']);
  let inner;
  if(kind==='tail'){
    const fs=[];
    for(let k=0;k<N+1;k++){
      const f=m.function('h'+k,['i32','i32','i32'],['i32']); fs.push(f); const {code}=f;
      if(k<N){ body(code,k); code.get(1).i32(32).op('i32.add').set(1);} else { code.get(1).memory('i32.load',20).set(1); }
      code.get(2).op('i32.eqz').if(); code.get(0).get(1).memory('i32.store',2000); code.i32(5).return(); code.end();
      code.get(0).get(1).get(2).i32(1).op('i32.sub').get(1).memory('i32.load16_u',0).returnCallIndirect(sig,0);
    }
    inner=m.function('inner',['i32','i32','i32'],['i32']);
    inner.code.get(0).get(1).get(2).get(1).memory('i32.load16_u',0).returnCallIndirect(sig,0);
    m.table(fs);
  } else {
    inner=m.function('inner',['i32','i32','i32'],['i32']); const {code}=inner;
    code.loop(); const next=code.depth; code.block(); const adv=code.depth; 
    for(let k=0;k<=N;k++) code.block();
    const deep=code.depth;
    code.get(2).op('i32.eqz').if(); code.i32(5).return(); code.end();
    code.get(2).i32(1).op('i32.sub').set(2);
    code.get(1).memory('i32.load16_u',0).brTable(Array.from({length:N+1},(_, k)=>deep-k),deep-N); code.end();
    for(let k=0;k<N;k++){ body(code,k); code.br(adv); code.end(); }
    code.get(1).memory('i32.load',20).set(1).br(next); code.end();
    code.get(1).i32(32).op('i32.add').set(1).br(next); code.end(); code.op('unreachable');
    m.table([inner]);
  }
  m.exportFunction('inner',inner);
  return {bytes:m.encode(),mem};
}
for(const kind of ['tail']){
  const {bytes,mem}=mod(kind);
  const module=new WebAssembly.Module(bytes);
  const imp={}; for(const i of WebAssembly.Module.imports(module)) (imp[i.module]??={})[i.name]=mem;
  const x=new WebAssembly.Instance(module,imp).exports;
  const v=new DataView(mem.buffer);
  let s=12345; const rnd=n=>{s=(Math.imul(s,1103515245)+12345)>>>0;return (s>>>8)%n};
  const base=4096, cpu=8192*4;
  for(let r=0;r<REC;r++){const a=base+r*32; v.setUint16(a,rnd(N),true); v.setUint16(a+4,8*rnd(8),true); v.setUint16(a+6,8*rnd(8),true);}
  v.setUint16(base+REC*32,N,true); v.setUint32(base+REC*32+20,base,true);
  for(let round=0;round<6;round++){
    const t=performance.now(); let n=0;
    for(let i=0;i<20000;i++){ x.inner(cpu,base,2000); n+=2000;}
    console.log(kind, ((performance.now()-t)*1e6/n).toFixed(2),'ns');
  }
}
