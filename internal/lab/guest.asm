; A guest without an operating system, which checks its own memory.
;
; It is the machine's firmware: a ROM of 64 KiB that the processor starts at its last 16 bytes. In
; 32-bit mode it fills the memory from 1 MiB up with data that does not compress, says 'R' on the
; serial port, and then, pass after pass:
;   - checks the tag of each page, and the count of each page that has one;
;   - dirties what it should, by raising counts: of all pages of the window, and of some of the
;     pages behind it, going round;
;   - fills some of the memory that was left empty, which it checks to be so until then;
;   - says '.' if all was right, or 'X' if not;
;   - sleeps for a tick or two, so that a host with few cores has them for itself.
; After an NMI it spoils one tag, so that one can see the check fail. If ORDER is not 0 after a pass,
; it resets the machine.
;
; Parameters, in bytes if nothing else is said:
;   MEMORY  all of it
;   WINDOW  from 1 MiB on, dirtied by each pass
;   SPREAD  dirtied by each pass behind the window, or 0
;   EMPTY   at the end of memory, empty at first
;   GROW    of that, filled by each pass
;   BURST   passes that dirty and fill, after which as many as
;   REST    do not
;   HZ      ticks per second
;   PERIOD  ticks from one pass to the next, and a ',' on the serial port at each tick, in the midst
;           of a pass as well; or 0
;
; A page holds, as words of 32 bits: count, if it is one to be dirtied, or data; tag; data from there
; on. The word at address a of a page p is
;   tag:  p ^ TAG
;   data: x ^ x >> 15 with x = a * MIX, so that what should be where is known from the address alone.

BASE    equ 0x100000
PAGE    equ 4096
MIX     equ 0x9E3779B1
TAG     equ 0x51C1CE00
SERIAL  equ 0x3F8
PIT     equ 1193182 / HZ
IDT     equ 0x1000
STACK   equ 0x8000
ORDER   equ 0x6000
ROM     equ 0xF0000                     ; where the last 64 KiB of firmware also appear below 1 MiB
FULL    equ MEMORY - EMPTY              ; the end of what is filled at first
COUNTED equ BASE + WINDOW + (SPREAD != 0) * (FULL - BASE - WINDOW)

; Variables.
CURSOR  equ 0x7000                      ; the next page to be dirtied behind the window
ROUND   equ 0x7004                      ; the count of the pages from there on; those before have one more
GROWN   equ 0x7008                      ; the end of what is filled
PHASE   equ 0x700C                      ; passes since a burst began
TICKS   equ 0x7010
DUE     equ 0x7014                      ; the tick at which the next pass begins

NMI     equ 2
TIMER   equ 0x20

%macro outb 2
        mov al, %2
        out %1, al
%endmacro

%macro check 2                          ; that the word at %1 is %2
        cmp [%1], %2
        je %%right
        mov bl, 'X'
%%right:
%endmacro

%macro check_tag 0                      ; of the page at edi
        mov eax, edi
        xor eax, TAG
        check edi + 4, eax
%endmacro

        org 0
start:
        bits 16
        cli
        o32 lgdt [cs:gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 8:(ROM + main)

        align 8
gdt:    dq 0
        dq 0x00CF9A000000FFFF           ; code, flat
        dq 0x00CF92000000FFFF           ; data, flat
gdtr:   dw gdtr - gdt - 1
        dd ROM + gdt
idtr:   dw (TIMER + 1) * 8 - 1
        dd IDT

        bits 32
main:
        mov eax, 16
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov esp, STACK

        ; Interrupts: the two that are used, the timer's acknowledged by the controller itself.
        mov dword [IDT + NMI * 8], (8 << 16) + spoil
        mov dword [IDT + NMI * 8 + 4], ((ROM >> 16) << 16) | 0x8E00
        mov dword [IDT + TIMER * 8], (8 << 16) + tick
        mov dword [IDT + TIMER * 8 + 4], ((ROM >> 16) << 16) | 0x8E00
        lidt [ROM + idtr]
        outb 0x20, 0x11                 ; edge, ICW4 follows
        outb 0x21, TIMER
        outb 0x21, 0x04                 ; the second controller would be on line 2
        outb 0x21, 0x03                 ; automatic end of interrupt
        outb 0x21, 0xFE                 ; the timer only
        outb 0x43, 0x34                 ; counter 0, rate generator
        outb 0x40, PIT & 0xFF
        outb 0x40, PIT >> 8
        mov dword [0xFEE00350], 0x700   ; local APIC: LINT0 is the controller's
        mov dword [0xFEE00360], 0x400   ; and LINT1 the NMI, neither masked as they are after a reset

        mov edi, BASE
        mov esi, FULL
        call fill
        mov edi, BASE
zero:
        cmp edi, COUNTED
        jae .done
        mov dword [edi], 0
        add edi, PAGE
        jmp zero
.done:
        xor ebp, ebp                    ; the count of the window's pages
        mov dword [CURSOR], BASE + WINDOW
        mov [ROUND], ebp
        mov dword [GROWN], FULL
        mov [PHASE], ebp
        mov [TICKS], ebp
        mov [DUE], ebp
        mov al, 'R'
        call say
pass:
        mov bl, '.'
%if PERIOD
        sti
%endif
        mov edi, BASE
.window:
        cmp edi, BASE + WINDOW
        jae .behind
        check_tag
        check edi, ebp
        add edi, PAGE
        jmp .window
.behind:
        cmp edi, FULL
        jae .grown
        check_tag
%if SPREAD
        mov eax, [ROUND]
        cmp edi, [CURSOR]
        adc eax, 0                      ; before the cursor: one more
        check edi, eax
%endif
        add edi, PAGE
        jmp .behind
.grown:
        cmp edi, [GROWN]
        jae .empty
        check_tag
        add edi, PAGE
        jmp .grown
.empty:
        cmp edi, MEMORY
        jae .checked
        check edi + 4, dword 0
        add edi, PAGE
        jmp .empty
.checked:
        cmp dword [PHASE], BURST
        jae .dirtied
        mov edi, BASE
.dirty:
        cmp edi, BASE + WINDOW
        jae .spread
        inc dword [edi]
        add edi, PAGE
        jmp .dirty
.spread:
        inc ebp
%if SPREAD
        mov edi, [CURSOR]
        mov ecx, SPREAD / PAGE
.next:
        inc dword [edi]
        add edi, PAGE
        cmp edi, FULL
        jb .around
        mov edi, BASE + WINDOW
        inc dword [ROUND]
.around:
        loop .next
        mov [CURSOR], edi
%endif
%if EMPTY
        mov edi, [GROWN]
        mov esi, edi
        add esi, GROW
        cmp esi, MEMORY
        jbe .within
        mov esi, MEMORY
.within:
        cmp edi, esi
        jae .dirtied
        call fill
        mov [GROWN], edi
%endif
.dirtied:
        inc dword [PHASE]
        cmp dword [PHASE], BURST + REST
        jb .said
        mov dword [PHASE], 0
.said:
        mov al, bl
        cli
        call say

        cmp byte [ORDER], 0
        je .stay
        mov byte [ORDER], 0
        outb 0x64, 0xFE                 ; the keyboard's controller pulls the reset line
.reset: hlt
        jmp .reset
.stay:
%if PERIOD
        sti
.early:
        hlt
        mov eax, [TICKS]
        cmp eax, [DUE]
        js .early
        ; The next is due a period after this one was, or now, if that has passed.
        mov edx, [DUE]
        add edx, PERIOD
        cmp edx, eax
        jns .due
        mov edx, eax
.due:
        mov [DUE], edx
%else
        ; Two ticks: the first may be one that has waited during the pass.
        sti
        hlt
        hlt
        cli
%endif
        jmp pass

; fill puts data and tags into the pages from edi up to esi, where it leaves edi.
fill:
        push edi
        imul eax, edi, MIX
.words:
%assign offset 0
%rep 16                                 ; half the time of a loop over single words
        mov edx, eax
        shr edx, 15
        xor edx, eax
        mov [edi + offset], edx
        add eax, (4 * MIX) & 0xFFFFFFFF
%assign offset offset + 4
%endrep
        add edi, offset
        cmp edi, esi
        jb .words
        pop edi
.tag:
        mov eax, edi
        xor eax, TAG
        mov [edi + 4], eax
        add edi, PAGE
        cmp edi, esi
        jb .tag
        ret

; say puts al on the serial port, once that can take it.
say:
        mov ah, al
        mov dx, SERIAL + 5
.wait:
        in al, dx
        test al, 0x20
        jz .wait
        mov al, ah
        mov dx, SERIAL
        out dx, al
        ret

spoil:
        not dword [MEMORY - PAGE + 4]
        iret
tick:
%if PERIOD
        push eax
        push edx
        inc dword [TICKS]
        mov dx, SERIAL + 5
        in al, dx
        test al, 0x20
        jz .busy
        mov dx, SERIAL
        mov al, ','
        out dx, al
.busy:
        pop edx
        pop eax
%endif
        iret

        times 0xFFF0 - ($ - $$) db 0
        bits 16
        jmp 0xF000:start
        times 0x10000 - ($ - $$) db 0
